import { setTimeout as sleep } from 'node:timers/promises';
import { AutoScalingClient, CompleteLifecycleActionCommand } from '@aws-sdk/client-auto-scaling';
import { DescribeInstancesCommand, EC2Client } from '@aws-sdk/client-ec2';
import { DEFAULT_TAG } from '../../src/settings.ts';
import { askSocket } from '../haproxy.ts';
import type { Consumer, RunningConsumer, Surroundings } from './consumer.ts';
import { own } from './consumers/own.ts';
import { isIdle, type Servers, serversIn } from './load-balancer.ts';

const LOOK_EVERY_MS = 200;

/** How much care a consumer takes before it ends a wait. */
interface Care {
  /** The looks in a row that have to find the instance idle. */
  readonly looks: number;
  /** How many HAProxies the consumer looks at for connections. The consumer drains the server in all HAProxies. */
  readonly haproxies: number;
}

/** For tests: drains servers over HAProxy's sockets, and ends waits, with more or less care. */
export function endingConsumer(care: Care): Consumer {
  return {
    // Runs in this process, as the own consumer does.
    name: own.name,
    intervalMs: LOOK_EVERY_MS,
    runMs: 300,
    reloads: false,
    lookEveryMs: LOOK_EVERY_MS,
    requirement: async () => 'part of a test',
    start: (surroundings) => start(surroundings, care),
  };
}

async function start(surroundings: Surroundings, care: Care): Promise<RunningConsumer> {
  const { ec2Url: endpoint, region, statsSockets, group, completeHook } = surroundings;
  const credentials = { accessKeyId: 'local', secretAccessKey: 'local' };
  const ec2 = new EC2Client({ endpoint, region, credentials });
  const autoScaling = new AutoScalingClient({ endpoint, region, credentials });
  const failures: string[] = [];
  const idleLooks = new Map<string, number>();
  let isStopped = false;
  const running = run();
  return {
    failures,
    async stop() {
      isStopped = true;
      await running;
    },
  };

  async function run(): Promise<void> {
    for (; !isStopped; await sleep(LOOK_EVERY_MS)) await look().catch((error) => failures.push(error.message));
  }

  async function look(): Promise<void> {
    const { Reservations = [] } = await ec2.send(new DescribeInstancesCommand({}));
    const seen = await Promise.all(statsSockets.map(async (path) => serversIn(await askSocket(path, 'show stat'))));
    const haproxies = seen.filter((servers): servers is Servers => servers !== undefined);
    for (const { InstanceId = '', Tags, State } of Reservations.flatMap(({ Instances = [] }) => Instances)) {
      const isTagged = Tags?.some(({ Key }) => Key === DEFAULT_TAG.key);
      const isInPlace = haproxies.some(({ inPlace }) => inPlace.has(InstanceId));
      if (isTagged && isInPlace) await setState(InstanceId, 'drain');
      if (!isTagged && !isInPlace && State?.Name === 'running') await setState(InstanceId, 'ready');
      const watched = haproxies.slice(0, care.haproxies);
      const looks =
        isTagged && watched.every((servers) => isIdle(servers, InstanceId)) ? (idleLooks.get(InstanceId) ?? 0) : -1;
      idleLooks.set(InstanceId, looks + 1);
      if (looks + 1 !== care.looks) continue;
      await autoScaling.send(
        new CompleteLifecycleActionCommand({
          InstanceId,
          AutoScalingGroupName: group,
          LifecycleHookName: completeHook,
          LifecycleActionResult: 'CONTINUE',
        }),
      );
    }
  }

  async function setState(instanceId: string, state: 'drain' | 'ready'): Promise<void> {
    for (const path of statsSockets) await askSocket(path, `set server web/${instanceId} state ${state}`);
  }
}
