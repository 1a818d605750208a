import { readFile, writeFile } from 'node:fs/promises';
import { DescribeInstancesCommand, EC2Client } from '@aws-sdk/client-ec2';
import { DEFAULT_TAG } from '../../../src/settings.ts';
import { type Consumer, runEvery, type Surroundings } from '../consumer.ts';
import { type ServerLine, serverLines } from '../load-balancer.ts';

const INTERVAL_MS = 1500;

/** The simplest consumer: asks EC2, writes HAProxy's configuration, and reloads HAProxy if the file has changed. */
export const own = {
  name: 'own',
  intervalMs: INTERVAL_MS,
  runMs: 500,
  reloads: true,
  requirement: async () => 'part of the proof',
  async start(surroundings: Surroundings, intervalMs: number = INTERVAL_MS) {
    const { ec2Url: endpoint, region } = surroundings;
    const credentials = { accessKeyId: 'local', secretAccessKey: 'local' };
    const ec2 = new EC2Client({ endpoint, region, credentials });
    const { failures, stop } = await runEvery(intervalMs, () => build(ec2, surroundings));
    return { failures, stop: () => stop().finally(() => ec2.destroy()) };
  },
} satisfies Consumer;

async function build(ec2: EC2Client, surroundings: Surroundings): Promise<void> {
  const { configFile, pidFile, staticConfiguration, group, serverPort } = surroundings;
  const servers = await serversToKeep(ec2, group, serverPort);
  const configuration = staticConfiguration + serverLines(servers);
  if (configuration === (await readFile(configFile, 'utf8'))) return;
  // The file is empty or missing for a moment during a reload. Then the next run tries again.
  const pid = Number(await readFile(pidFile, 'utf8').catch(() => ''));
  if (pid === 0) return;
  await writeFile(configFile, configuration);
  process.kill(pid, 'SIGUSR2');
}

/** The servers that belong into the load balancer: running instances of the group without the removal tag. */
async function serversToKeep(ec2: EC2Client, group: string, port: number): Promise<ServerLine[]> {
  const { Reservations = [] } = await ec2.send(
    new DescribeInstancesCommand({
      Filters: [
        { Name: 'tag:aws:autoscaling:groupName', Values: [group] },
        { Name: 'instance-state-name', Values: ['running'] },
      ],
    }),
  );
  return Reservations.flatMap(({ Instances = [] }) => Instances)
    .filter(({ Tags }) => !Tags?.some(({ Key, Value }) => Key === DEFAULT_TAG.key && Value === DEFAULT_TAG.value))
    .map(({ InstanceId = '', PrivateIpAddress = '' }) => ({ instanceId: InstanceId, address: PrivateIpAddress, port }));
}
