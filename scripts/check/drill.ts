import {
  type AutoScalingClient,
  DescribeAutoScalingGroupsCommand,
  DescribeAutoScalingInstancesCommand,
  DescribeLifecycleHooksCommand,
  TerminateInstanceInAutoScalingGroupCommand,
} from '@aws-sdk/client-auto-scaling';
import { DescribeInstancesCommand, type EC2Client, type Instance } from '@aws-sdk/client-ec2';
import type { Settings } from '../../src/settings.ts';
import { isServed, type Server, withoutCredentials } from '../haproxy-statistics.ts';
import { isNamed } from './facts/fact.ts';
import { TERMINATING } from './facts/groups.ts';
import { timeoutOf } from './judges/hooks.ts';

/** What a drill needs to know and to call. */
export interface DrillOptions {
  readonly autoScaling: AutoScalingClient;
  readonly ec2: EC2Client;
  readonly topicArn: string;
  readonly tag: Settings['tag'];
  /** Stats sockets or URLs of statistics. The instance is out when the last HAProxy has removed it. */
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

// Resolution of the timeline.
const POLL_MS = 1000;

// Extra time beyond the heartbeat timeout: Auto Scaling's own delays, other hooks.
const EXTRA_MS = 10 * 60_000;
// An ELB deregisters the instance before the hook's wait begins, for at most an hour.
const EXTRA_WITH_ELB_MS = 70 * 60_000;

// Before and during the wait. With a warm pool, the instance may go back there.
const STAYING = /^(InService|Terminating|Warmed:Pending)(:Wait)?$/;

/** When each event was first seen, in milliseconds since Auto Scaling was asked. */
interface Timeline {
  waiting?: number;
  tagged?: number;
  terminated?: number;
  /** By HAProxy. */
  readonly removed: Map<string, number>;
}

/**
 * Lets Auto Scaling replace an instance, shows each event, and gives the verdict.
 * @returns whether the instance had the tag and was out of every load balancer before it was terminated; undefined if
 * the user did not agree.
 * @throws Error if the instance does not suit a drill, or if the display ends early. In the second case, Auto Scaling
 * continues to replace the instance, and a warning says so.
 */
export async function drill(instanceId: string, options: DrillOptions): Promise<boolean | undefined> {
  const { autoScaling, haproxies, say, signal, clock } = options;
  const { group, heartbeatMs, extraMs, isLaunchSuspended } = await findHook(instanceId, options);
  const instance = await describe(instanceId, options);
  const server = { instanceId, address: instance?.PrivateIpAddress };
  if (isTagged(instance, options)) {
    throw new Error(`--drill ${instanceId}: carries the tag already; clear the tag first`);
  }
  await expectServed(server, options);

  if (isLaunchSuspended) say(`Launch is suspended for ${group}: nothing will replace ${instanceId}`);
  const question = `Terminate ${instanceId} and let ${group} replace it?`;
  if (!(await options.isAgreed(question))) return undefined;
  await terminate(instanceId, group, autoScaling);
  const started = clock.now();

  const timeline: Timeline = { removed: new Map() };
  const complaints = new Set<string>();
  try {
    say(`Auto Scaling replaces ${instanceId} of ${group}; the hook waits ${seconds(heartbeatMs)}`);
    while (timeline.terminated === undefined && clock.now() - started < heartbeatMs + extraMs) {
      await look(clock.now() - started);
      if (timeline.terminated === undefined) await clock.sleep(POLL_MS);
    }
  } catch (error) {
    options.warn(`Auto Scaling continues to replace ${instanceId}`);
    throw error;
  }
  const problems = problemsOf(timeline, haproxies, extraMs);
  for (const problem of problems) say(`not drained: ${problem}`);
  if (problems.length === 0) say(`drained: ${verdictOf(timeline)}`);
  return problems.length === 0;

  /** Looks once. The load balancers come first, so that their state is older than the instance's. */
  async function look(at: number): Promise<void> {
    for (const source of haproxies.filter((each) => !timeline.removed.has(each))) {
      try {
        if (await isServed(source, server, signal)) continue;
        timeline.removed.set(source, at);
        say(`${seconds(at)}  out of the load balancer (${withoutCredentials(source)})`);
      } catch (error) {
        // The load balancer may be reloading. Each complaint is shown once.
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
      say(
        `${seconds(at)}  ${state?.endsWith(':Retained') ? 'retained: the wait is over, the instance runs' : 'terminated'}`,
      );
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
  const { AutoScalingGroups: [description] = [] } = await autoScaling.send(
    new DescribeAutoScalingGroupsCommand({ AutoScalingGroupNames: [group] }),
  );
  const { TargetGroupARNs, LoadBalancerNames, TrafficSources, SuspendedProcesses } = description ?? {};
  const hasElb = [TargetGroupARNs, LoadBalancerNames, TrafficSources].some((names) => names && names.length > 0);
  return {
    group,
    heartbeatMs: Math.max(...own.map(timeoutOf)) * 1000,
    extraMs: hasElb ? EXTRA_WITH_ELB_MS : EXTRA_MS,
    isLaunchSuspended: SuspendedProcesses?.some(({ ProcessName }) => ProcessName === 'Launch') ?? false,
  };
}

async function terminate(InstanceId: string, group: string, autoScaling: AutoScalingClient): Promise<void> {
  try {
    await autoScaling.send(
      new TerminateInstanceInAutoScalingGroupCommand({ InstanceId, ShouldDecrementDesiredCapacity: false }),
    );
  } catch (error) {
    if (!/^(ScalingActivityInProgress|ResourceContention)/.test((error as Error).name)) throw error;
    throw new Error(
      `nothing was terminated: ${group} is busy with another scaling activity; try again when it is done`,
      {
        cause: error,
      },
    );
  }
}

/** A load balancer that never had the server proves nothing. */
async function expectServed(server: Server, { haproxies, signal }: DrillOptions): Promise<void> {
  for (const source of haproxies) {
    if (await isServed(source, server, signal)) continue;
    const names = [server.instanceId, server.address].filter(Boolean).join(' or the address ');
    throw new Error(`--haproxy ${withoutCredentials(source)}: has no server in use with the name ${names}`);
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

function problemsOf(
  { waiting, tagged, terminated, removed }: Timeline,
  haproxies: readonly string[],
  extraMs: number,
): string[] {
  if (terminated === undefined) {
    return [`it was not terminated within its wait and ${extraMs / 60_000} minutes`];
  }
  return [
    ...(waiting === undefined ? ['it did not wait: the hook had no effect'] : []),
    ...(tagged === undefined ? ['it was terminated without the tag'] : []),
    ...(tagged !== undefined && tagged >= terminated ? ['it got the tag after its wait'] : []),
    ...haproxies
      .filter((source) => (removed.get(source) ?? terminated) >= terminated)
      .map((source) => `${withoutCredentials(source)} still had it when it was terminated`),
  ];
}

function verdictOf({ tagged = 0, terminated = 0, removed }: Timeline): string {
  const tag = `tagged after ${seconds(tagged)}`;
  if (removed.size === 0)
    return `${tag}, ${seconds(terminated - tagged)} before it was terminated; no --haproxy was given`;
  const out = Math.max(...removed.values());
  return `${tag}, out of the load balancer after ${seconds(out)}, ${seconds(terminated - out)} before it was terminated`;
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(0)} s`;
}
