import { readFile } from 'node:fs/promises';
import { type Ec2Endpoint, startEc2Endpoint } from '../local-aws/ec2-endpoint.ts';

/** The event that the benchmarks send. */
export async function terminatingEvent(): Promise<string> {
  return JSON.stringify(
    JSON.parse(await readFile(new URL('../../test/events/terminating.json', import.meta.url), 'utf8')),
  );
}

/** Starts an EC2 endpoint that has the event's instance. */
export async function startEc2With(event: string): Promise<Ec2Endpoint> {
  const ec2 = await startEc2Endpoint();
  ec2.instances.set(JSON.parse(JSON.parse(event).Records[0].Sns.Message).EC2InstanceId, { tags: new Map() });
  return ec2;
}
