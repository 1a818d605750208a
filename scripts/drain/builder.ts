import { setTimeout as sleep } from 'node:timers/promises';
import { DescribeInstancesCommand, type EC2Client, type Instance } from '@aws-sdk/client-ec2';
import { readSettings } from '../../src/settings.ts';
import type { Haproxy, Server } from './haproxy.ts';

/** The Auto Scaling group behind the load balancer. */
export const GROUP = 'web';

/** The tag that says on which port an instance serves: the one that HAProxy's Data Plane API reads. */
export const PORT_TAG = 'HAProxy:Service:Port';

const { tag: removalTag } = readSettings({});

/** The servers that belong into the load balancer: running instances of the group without the removal tag. */
export async function serversToKeep(ec2: Pick<EC2Client, 'send'>): Promise<Server[]> {
  const { Reservations = [] } = await ec2.send(
    new DescribeInstancesCommand({
      Filters: [
        { Name: 'tag:aws:autoscaling:groupName', Values: [GROUP] },
        { Name: 'instance-state-name', Values: ['running'] },
      ],
    }),
  );
  return Reservations.flatMap(({ Instances = [] }) => Instances)
    .filter((instance) => tagOf(instance, removalTag.key) !== removalTag.value)
    .map((instance) => ({
      instanceId: instance.InstanceId ?? '',
      address: instance.PrivateIpAddress ?? '',
      port: tagOf(instance, PORT_TAG) ?? '',
    }));
}

function tagOf({ Tags = [] }: Instance, key: string): string | undefined {
  return Tags.find(({ Key }) => Key === key)?.Value;
}

/**
 * Keeps HAProxy's servers those of EC2, as a Chef run every few seconds does, until it is aborted.
 * @param inPlace the servers that HAProxy has now.
 * @param options.onReload told the instances in the load balancer, once a new worker serves them, and how many
 * milliseconds it took from the question to EC2.
 */
export async function keepBuilding(
  ec2: Pick<EC2Client, 'send'>,
  haproxy: Haproxy,
  inPlace: readonly Server[],
  options: {
    intervalMs: number;
    signal: AbortSignal;
    onReload: (instanceIds: ReadonlySet<string>, tookMs: number) => void;
  },
): Promise<void> {
  let current = JSON.stringify(inPlace);
  for (let next = Date.now() + options.intervalMs; ; next += options.intervalMs) {
    await sleep(Math.max(0, next - Date.now()), undefined, { signal: options.signal }).catch(() => {});
    if (options.signal.aborted) return;
    const began = Date.now();
    const servers = await serversToKeep(ec2);
    if (JSON.stringify(servers) === current) continue;
    await haproxy.reload(servers);
    current = JSON.stringify(servers);
    options.onReload(new Set(servers.map(({ instanceId }) => instanceId)), Date.now() - began);
  }
}
