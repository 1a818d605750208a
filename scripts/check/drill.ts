import {
  type AutoScalingClient,
  DescribeAutoScalingInstancesCommand,
  DescribeLifecycleHooksCommand,
  TerminateInstanceInAutoScalingGroupCommand,
} from '@aws-sdk/client-auto-scaling';
import { DescribeInstancesCommand, type EC2Client, type Instance } from '@aws-sdk/client-ec2';
import type { Settings } from '../../src/settings.ts';
import { isServed, type Server, withoutCredentials } from '../haproxy-statistics.ts';
import { TERMINATING } from './groups.ts';
import { timeoutOf } from './hooks.ts';
import { isNamed } from './link.ts';

/** What a drill needs to know and to call. */
export interface DrillOptions {
  readonly autoScaling: AutoScalingClient;
  readonly ec2: EC2Client;
  readonly topicArn: string;
  readonly tag: Settings['tag'];
  /** Stats sockets or URLs of statistics; the last HAProxy to let go counts. */
  readonly haproxies: readonly string[];
  /** Asked before anything is changed. */
  readonly isAgreed: (question: string) => Promise<boolean>;
  readonly say: (line: string) => void;
  /** Prints a line even after an interruption. */
  readonly warn: (line: string) => void;
  /** Ends the display. */
  readonly signal: AbortSignal;
  readonly clock: Clock;
}

export interface Clock {
  /** Milliseconds. */
  now(): number;
  sleep(ms: number): Promise<void>;
}

// As fine as the timeline is.
const POLL_MS = 1000;

// Beyond the heartbeat timeout: for Auto Scaling to begin and to end, and for other hooks.
const PATIENCE_MS = 10 * 60_000;

// Before and during the wait; a group with a warm pool may put the instance back there.
const STAYING = /^(InService|Terminating|Warmed:Pending)(:Wait)?$/;

/** When each thing was first seen, in milliseconds since Auto Scaling was asked. */
interface Timeline {
  waiting?: number;
  tagged?: number;
  terminated?: number;
  readonly letGo: Map<string, number>;
}

/**
 * Has Auto Scaling replace an instance, shows what happens to it, and gives the verdict.
 * @returns whether the instance had the tag and was out of every load balancer before it was terminated; undefined if
 * the user did not agree.
 * @throws Error if the instance does not suit a drill, or if the display ends early. In the second case Auto Scaling goes
 * on replacing the instance, and a warning says so.
 */
export async function drill(instanceId: string, options: DrillOptions): Promise<boolean | undefined> {
  const { autoScaling, haproxies, say, signal, clock } = options;
  const { group, heartbeatMs } = await findHook(instanceId, options);
  const instance = await describe(instanceId, options);
  const server = { instanceId, address: instance?.PrivateIpAddress };
  if (isTagged(instance, options)) {
    throw new Error(
      `--drill ${instanceId}: is tagged already, so that the drill would show nothing; clear the tag first`,
    );
  }
  await expectServed(server, options);

  const question = `Terminate ${instanceId} and have ${group} replace it?`;
  if (!(await options.isAgreed(question))) return undefined;
  await autoScaling.send(
    new TerminateInstanceInAutoScalingGroupCommand({
      InstanceId: instanceId,
      ShouldDecrementDesiredCapacity: false,
    }),
  );
  const started = clock.now();

  const timeline: Timeline = { letGo: new Map() };
  const complaints = new Set<string>();
  try {
    say(`Auto Scaling replaces ${instanceId} of ${group}; the hook waits ${seconds(heartbeatMs)}`);
    while (timeline.terminated === undefined && clock.now() - started < heartbeatMs + PATIENCE_MS) {
      await look(clock.now() - started);
      if (timeline.terminated === undefined) await clock.sleep(POLL_MS);
    }
  } catch (error) {
    options.warn(`Auto Scaling goes on replacing ${instanceId}`);
    throw error;
  }
  const problems = problemsOf(timeline, haproxies);
  for (const problem of problems) say(`not drained: ${problem}`);
  if (problems.length === 0) say(`drained: ${verdictOf(timeline)}`);
  return problems.length === 0;

  /** Looks at everything once. The load balancers come first, so that their state is older than the instance's. */
  async function look(at: number): Promise<void> {
    for (const source of haproxies.filter((each) => !timeline.letGo.has(each))) {
      try {
        if (await isServed(source, server, signal)) continue;
        timeline.letGo.set(source, at);
        say(`${seconds(at)}  gone from the load balancer (${withoutCredentials(source)})`);
      } catch (error) {
        // The load balancer may be reloading. Each of its complaints is shown once.
        const complaint = error instanceof Error ? error.message : String(error);
        if (!complaints.has(complaint)) say(`${seconds(at)}  ${complaint}`);
        complaints.add(complaint);
      }
    }
    const current = await describe(instanceId, options);
    const state = await lifecycleState(instanceId, autoScaling);
    if (timeline.waiting === undefined && state?.endsWith(':Wait')) {
      timeline.waiting = at;
      say(`${seconds(at)}  waiting`);
    }
    if (timeline.tagged === undefined && isTagged(current, options)) {
      timeline.tagged = at;
      say(`${seconds(at)}  tagged`);
    }
    if (!STAYING.test(state ?? '') || (current?.State?.Name !== 'running' && current?.State?.Name !== 'pending')) {
      timeline.terminated = at;
      say(`${seconds(at)}  terminated`);
    }
  }
}

async function findHook(instanceId: string, { autoScaling, topicArn }: DrillOptions) {
  const { AutoScalingInstances: [member] = [] } = await autoScaling.send(
    new DescribeAutoScalingInstancesCommand({ InstanceIds: [instanceId] }),
  );
  if (!member) throw new Error(`--drill ${instanceId}: is in no Auto Scaling group of this region`);
  const { AutoScalingGroupName: group = '', LifecycleState: state } = member;
  if (state !== 'InService') throw new Error(`--drill ${instanceId}: is ${state} in ${group}; expected InService`);
  const { LifecycleHooks: hooks = [] } = await autoScaling.send(
    new DescribeLifecycleHooksCommand({ AutoScalingGroupName: group }),
  );
  const own = hooks.filter(
    (hook) => hook.LifecycleTransition === TERMINATING && hook.NotificationTargetARN === topicArn,
  );
  if (own.length === 0) {
    throw new Error(
      `--drill ${instanceId}: its group ${group} has no terminating hook to ${topicArn}; it would be killed at once`,
    );
  }
  return { group, heartbeatMs: Math.max(...own.map(timeoutOf)) * 1000 };
}

/** A load balancer that never had the server would let go at once, and prove nothing. */
async function expectServed(server: Server, { haproxies, signal }: DrillOptions): Promise<void> {
  for (const source of haproxies) {
    if (await isServed(source, server, signal)) continue;
    const names = [server.instanceId, server.address].filter(Boolean).join(' or the address ');
    throw new Error(
      `--haproxy ${withoutCredentials(source)}: has no server in use with the name ${names}, so that it cannot let go of it`,
    );
  }
}

async function describe(instanceId: string, { ec2 }: DrillOptions): Promise<Instance | undefined> {
  try {
    const { Reservations: [{ Instances: [instance] = [] } = {}] = [] } = await ec2.send(
      new DescribeInstancesCommand({ InstanceIds: [instanceId] }),
    );
    return instance;
  } catch (error) {
    // EC2 forgets a terminated instance after a while.
    if (isNamed(error, 'InvalidInstanceID.NotFound')) return undefined;
    throw error;
  }
}

async function lifecycleState(instanceId: string, autoScaling: AutoScalingClient): Promise<string | undefined> {
  const { AutoScalingInstances: [member] = [] } = await autoScaling.send(
    new DescribeAutoScalingInstancesCommand({ InstanceIds: [instanceId] }),
  );
  return member?.LifecycleState;
}

function isTagged(instance: Instance | undefined, { tag }: DrillOptions): boolean {
  return instance?.Tags?.some(({ Key, Value }) => Key === tag.key && Value === tag.value) ?? false;
}

function problemsOf({ waiting, tagged, terminated, letGo }: Timeline, haproxies: readonly string[]): string[] {
  if (terminated === undefined) return ['it was not terminated in the time of its wait and ten minutes more'];
  return [
    ...(waiting === undefined ? ['it did not wait: the hook did not hold it'] : []),
    ...(tagged === undefined ? ['it was terminated without the tag'] : []),
    ...(tagged !== undefined && tagged >= terminated ? ['it got the tag when its wait was over'] : []),
    ...haproxies
      .filter((source) => (letGo.get(source) ?? terminated) >= terminated)
      .map((source) => `${withoutCredentials(source)} still had it when it was terminated`),
  ];
}

function verdictOf({ tagged = 0, terminated = 0, letGo }: Timeline): string {
  const parts = [`tagged after ${seconds(tagged)}`];
  const out = Math.max(...letGo.values());
  if (letGo.size > 0)
    parts.push(`out of the load balancer after ${seconds(out)}, ${seconds(terminated - out)} before it was terminated`);
  else
    parts.push(
      `${seconds(terminated - tagged)} before it was terminated; the load balancer was not looked at (--haproxy)`,
    );
  return parts.join(', ');
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(0)} s`;
}
