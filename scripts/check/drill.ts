import {
  DescribeAutoScalingInstancesCommand,
  TerminateInstanceInAutoScalingGroupCommand,
} from '@aws-sdk/client-auto-scaling';
import { DescribeInstancesCommand, type Instance } from '@aws-sdk/client-ec2';
import type { Terminal } from '../command.ts';
import { isServed, type Server, withoutCredentials } from '../haproxy-statistics.ts';
import type { Clients } from './clients.ts';
import { isKnown } from './facts/fact.ts';
import type { Facts } from './facts/facts.ts';
import { TERMINATING } from './facts/groups.ts';
import { ownHooks, timeoutOf } from './judges/hooks.ts';

/** What a drill needs to know and to call. */
export interface DrillOptions {
  readonly clients: Pick<Clients, 'autoScaling' | 'ec2'>;
  readonly facts: Facts;
  /** Stats sockets or URLs of statistics. The instance is out when the last HAProxy has removed it. */
  readonly haproxies: readonly string[];
  /** Asked before anything is changed. */
  readonly isAgreed: (question: string) => Promise<boolean>;
  readonly say: (line: string) => void;
  readonly terminal: Terminal;
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
  const { haproxies, say, terminal, clock } = options;
  const { name: group, heartbeatMs, hasElb, isLaunchSuspended } = findGroup(instanceId, options.facts);
  const instance = await describe(instanceId, options);
  if (isTagged(instance, options)) {
    throw new Error(`--drill ${instanceId}: has the tag already; clear the tag first`);
  }
  const server = { instanceId, address: instance?.PrivateIpAddress };
  await expectServed(server, options);

  if (isLaunchSuspended) say(`Launch is suspended for ${group}: nothing will replace ${instanceId}`);
  if (hasElb) say(`an ELB deregisters ${instanceId} first: the wait may begin up to an hour later`);
  const extraMs = hasElb ? EXTRA_WITH_ELB_MS : EXTRA_MS;
  if (!(await options.isAgreed(`Terminate ${instanceId} and let ${group} replace it?`))) return undefined;
  await terminate(instanceId, group, options);
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
    terminal.err(`Auto Scaling continues to replace ${instanceId}`);
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
        if (await isServed(source, server, terminal.signal)) continue;
        timeline.removed.set(source, at);
        say(`${seconds(at)}  out of the load balancer (${withoutCredentials(source)})`);
      } catch (error) {
        // The load balancer may be reloading. Each complaint is shown once.
        const { message } = error as Error;
        if (!complaints.has(message)) say(`${seconds(at)}  ${message}`);
        complaints.add(message);
      }
    }
    const isTaggedNow = isTagged(await describe(instanceId, options), options);
    const state = await lifecycleState(instanceId, options);
    if (timeline.waiting === undefined && state.endsWith(':Wait')) {
      timeline.waiting = at;
      say(`${seconds(at)}  waiting`);
    }
    if (timeline.tagged === undefined && isTaggedNow) {
      timeline.tagged = at;
      say(`${seconds(at)}  tagged`);
    }
    if (!STAYING.test(state)) {
      timeline.terminated = at;
      const event = state.endsWith(':Retained') ? 'retained: the wait is over, the instance runs' : 'terminated';
      say(`${seconds(at)}  ${event}`);
    }
  }
}

/** The instance's group, and the time that the drill may take. */
function findGroup(instanceId: string, facts: Facts) {
  const groups = isKnown(facts.groups) ? facts.groups.examined : [];
  for (const group of groups) {
    const { description, name } = group;
    const member = description.Instances?.find(({ InstanceId }) => InstanceId === instanceId);
    if (member === undefined) continue;
    const { LifecycleState: state } = member;
    if (state !== 'InService') throw new Error(`--drill ${instanceId}: is ${state} in ${name}; expected InService`);
    const hooks = ownHooks(facts, group, TERMINATING);
    if (hooks.length === 0) {
      throw new Error(`--drill ${instanceId}: its group ${name} has no terminating hook to the topic`);
    }
    const { TargetGroupARNs, LoadBalancerNames, TrafficSources, SuspendedProcesses } = description;
    const hasElb = [TargetGroupARNs, LoadBalancerNames, TrafficSources].some((names) => names && names.length > 0);
    return {
      name,
      heartbeatMs: Math.max(...hooks.map(timeoutOf)) * 1000,
      hasElb,
      isLaunchSuspended: SuspendedProcesses?.some(({ ProcessName }) => ProcessName === 'Launch') ?? false,
    };
  }
  throw new Error(`--drill ${instanceId}: is in no group that the check looked at`);
}

async function terminate(InstanceId: string, group: string, { clients }: DrillOptions): Promise<void> {
  const command = new TerminateInstanceInAutoScalingGroupCommand({ InstanceId, ShouldDecrementDesiredCapacity: false });
  try {
    await clients.autoScaling.send(command);
  } catch (error) {
    if (!/^(ScalingActivityInProgress|ResourceContention)/.test((error as Error).name)) throw error;
    const reason = `${group} is busy with another scaling activity; try again when it is done`;
    throw new Error(`nothing was terminated: ${reason}`, { cause: error });
  }
}

/** A load balancer that never had the server proves nothing. */
async function expectServed(server: Server, { haproxies, terminal }: DrillOptions): Promise<void> {
  for (const source of haproxies) {
    if (await isServed(source, server, terminal.signal)) continue;
    const names = [server.instanceId, server.address].filter(Boolean).join(' or the address ');
    throw new Error(`--haproxy ${withoutCredentials(source)}: has no server in use with the name ${names}`);
  }
}

async function describe(instanceId: string, { clients }: DrillOptions): Promise<Instance | undefined> {
  const command = new DescribeInstancesCommand({ InstanceIds: [instanceId] });
  try {
    const { Reservations: [{ Instances: [instance] = [] } = {}] = [] } = await clients.ec2.send(command);
    return instance;
  } catch (error) {
    // EC2 forgets a terminated instance after a while.
    if ((error as Error).name === 'InvalidInstanceID.NotFound') return undefined;
    throw error;
  }
}

/** @returns an empty text when the instance has left its group. */
async function lifecycleState(instanceId: string, { clients }: DrillOptions): Promise<string> {
  const command = new DescribeAutoScalingInstancesCommand({ InstanceIds: [instanceId] });
  const { AutoScalingInstances: [member] = [] } = await clients.autoScaling.send(command);
  return member?.LifecycleState ?? '';
}

function isTagged(instance: Instance | undefined, { facts: { tag } }: DrillOptions): boolean {
  return instance?.Tags?.some(({ Key, Value }) => Key === tag.key && Value === tag.value) ?? false;
}

function problemsOf(timeline: Timeline, haproxies: readonly string[], extraMs: number): string[] {
  const { waiting, tagged, terminated, removed } = timeline;
  if (terminated === undefined) return [`it was not terminated within its wait and ${extraMs / 60_000} minutes`];
  return [
    ...(waiting === undefined ? ['it did not wait: the hook had no effect'] : []),
    ...((tagged ?? terminated) >= terminated ? ['it had no tag before it was terminated'] : []),
    ...haproxies
      .filter((source) => (removed.get(source) ?? terminated) >= terminated)
      .map((source) => `${withoutCredentials(source)} still had it when it was terminated`),
  ];
}

function verdictOf({ tagged = 0, terminated = 0, removed }: Timeline): string {
  const tag = `tagged after ${seconds(tagged)}`;
  if (removed.size === 0) {
    return `${tag}, ${seconds(terminated - tagged)} before the wait ended; no --haproxy was given`;
  }
  const out = Math.max(...removed.values());
  return `${tag}, out of the load balancer after ${seconds(out)}, ${seconds(terminated - out)} before the wait ended`;
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(0)} s`;
}
