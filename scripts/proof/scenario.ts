import { setTimeout as sleep } from 'node:timers/promises';
import { DEFAULT_TAG } from '../../src/settings.ts';
import { consumerThatRan } from './commands.ts';
import { connectGuest, type Guest } from './guest.ts';
import { isIdle, type Servers } from './load-balancer.ts';
import { hasPassedCarelessLooks, seenIdleMs } from './looks.ts';
import type { Result } from './requests.ts';
import { type StageOptions, setStage } from './stage.ts';

/** The scenarios, named after the protection of requests. */
export const SCENARIOS = {
  nothing: 'without anything',
  careful: 'careful HAProxy',
  function: 'with the function',
  complete: 'with the function, wait ended by the consumer',
} as const;
export type ScenarioName = keyof typeof SCENARIOS;

/** Whether a scenario has the function. The others are comparisons. */
export function hasFunction(name: ScenarioName): boolean {
  return name === 'function' || name === 'complete';
}

/** One instance that left. Times are in milliseconds since the load began; a time is absent if the event did not happen. */
export interface ScaleIn {
  readonly instanceId: string;
  readonly hookAt?: number;
  taggedAt?: number;
  /** When the last HAProxy stopped using the instance. Cleared if an HAProxy uses the instance again before it is killed. */
  outAt?: number;
  killedAt?: number;
  /** Absent if the heartbeat timeout ended the wait. */
  completion?: Completion;
  /** Whether a client stayed connected to the instance for so long that the heartbeat timeout may end the wait. */
  hadGuest?: boolean;
}

/** How the consumer ended the wait of an instance. */
export interface Completion {
  /** Whether every HAProxy had the instance out, without a session or a queued request. */
  readonly wasIdle: boolean;
  /** Milliseconds for which the consumer had seen the instance idle in every HAProxy. */
  readonly seenIdleMs: number;
}

export type ScenarioOutcome = Awaited<ReturnType<typeof runScenario>>;

const WATCH_EVERY_MS = 50;
const POLL_MS = 20;
/** EC2 forgets a terminated instance after about an hour, but in the proof after this time. */
const REMEMBERED_MS = 500;
/** A client that stays connected leaves this time before the heartbeat timeout, at the latest. */
const LEAVES_BEFORE_MS = 500;

/** Starts everything, runs one scenario, and ends everything. */
export async function runScenario(name: ScenarioName, options: StageOptions) {
  const { plan, consumer, signal } = options;
  const withFunction = hasFunction(name);
  const completes = name === 'complete';
  await using started = new AsyncDisposableStack();
  const mode = name === 'careful' ? 'careful' : 'plain';
  const stage = await setStage({ mode, completes }, options, started);
  const { ec2, fleet, loadBalancers, consumers, commands, looks, publisher, load } = stage;
  const instanceIds = fleet.servers.map(({ instanceId }) => instanceId);
  const [toWarmPool = ''] = instanceIds;
  const scaleIns: ScaleIn[] = [];
  const resultsOfGuests: Result[] = [];
  const end = new AbortController();
  const untilEnd = AbortSignal.any([signal, end.signal]);

  const loading = load.results.finally(() => end.abort());
  const watching = watch();
  const leaving = plan.scaleInsAt.map((time, n) =>
    scaleIn(instanceIds[n] ?? '', time, completes && n > 0 && n === plan.scaleInsAt.length - 1),
  );
  const returning = comeBack(toWarmPool);
  const steps = [loading, watching, returning, ...leaving];
  try {
    await Promise.all(steps);
    return {
      name,
      /** The consumer that really ran. */
      consumer: consumerThatRan(consumer.name, commands),
      instanceIds,
      /** The command lines of the processes that the consumers started. */
      commands: [...commands] as readonly string[],
      results: [...(await loading), ...resultsOfGuests] as readonly Result[],
      scaleIns: scaleIns as readonly ScaleIn[],
      /** The instance that came back from the warm pool. */
      returned: await returning,
      functionErrors: publisher.errors as readonly string[],
      consumerFailures: consumers.flatMap(({ failures }) => failures),
    };
  } finally {
    end.abort();
    // The load would go on until its planned end.
    await load.stop();
    await Promise.allSettled(steps);
  }

  async function scaleIn(instanceId: string, time: number, hasGuest: boolean): Promise<void> {
    await waitUntil(time);
    const port = loadBalancers.at(-1)?.port ?? 0;
    const guest = hasGuest ? await connectGuest(port, instanceId, untilEnd) : undefined;
    const deadline = time + plan.heartbeatMs;
    const leaving: ScaleIn = {
      instanceId,
      ...(withFunction && { hookAt: now() }),
      ...(hasGuest && { hadGuest: true }),
    };
    scaleIns.push(leaving);
    const stay = guest ? staying(guest, leaving, deadline) : Promise.resolve();
    let delivery = Promise.resolve();
    if (withFunction) {
      const sample = instanceId === toWarmPool ? 'terminating-to-warm-pool' : 'terminating';
      delivery = publisher.publish(sample, instanceId).then(() => {
        if (ec2.instances.get(instanceId)?.tags.get(DEFAULT_TAG.key) === DEFAULT_TAG.value) leaving.taggedAt = now();
      });
      // The wait does not depend on the function or on a client, so the code awaits these promises later.
      delivery.catch(() => {});
      stay.catch(() => {});
      await wait(leaving, deadline);
    }
    leaving.killedAt = now();
    await fleet.kill(instanceId, instanceId === toWarmPool ? 'stopped' : 'terminated');
    await delivery;
    await stay;
    say(`${instanceId} killed${leaving.completion ? ', because the consumer ended its wait' : ''}`);
    if (instanceId !== toWarmPool) await forget(instanceId, leaving.killedAt + REMEMBERED_MS);
  }

  /** Plays Auto Scaling: the wait ends when the consumer completes the lifecycle action, at the latest at the deadline. */
  async function wait(leaving: ScaleIn, deadline: number): Promise<void> {
    const { instanceId } = leaving;
    setLifecycleState(instanceId, 'Terminating:Wait');
    while (now() < deadline) {
      await waitUntil(Math.min(now() + POLL_MS, deadline));
      if (ec2.instances.get(instanceId)?.lifecycleState === 'Terminating:Wait') continue;
      const haproxies = await serversOfHaproxies();
      const wasIdle = haproxies.every((servers) => servers && isIdle(servers, instanceId));
      leaving.completion = { wasIdle, seenIdleMs: seenIdleMs(looks, instanceId) };
      return;
    }
    setLifecycleState(instanceId, 'Terminating:Proceed');
  }

  /** A client stays connected until a consumer that does not look at this client would have ended the wait. */
  async function staying(guest: Guest, leaving: ScaleIn, deadline: number): Promise<void> {
    const { instanceId } = leaving;
    const at = now();
    while (leaving.killedAt === undefined && now() < deadline - LEAVES_BEFORE_MS) {
      if (hasPassedCarelessLooks(looks, instanceId)) break;
      await waitUntil(now() + POLL_MS);
    }
    const end = leaving.killedAt === undefined && guest.leave() ? { server: instanceId } : { cause: 'cut off' };
    resultsOfGuests.push({ at, ms: now() - at, ...end });
    say(`${instanceId}: a client that stayed connected ${end.server ? 'leaves' : 'is cut off'}`);
  }

  function setLifecycleState(instanceId: string, state: string): void {
    const instance = ec2.instances.get(instanceId);
    if (instance) instance.lifecycleState = state;
  }

  /** Plays EC2, which forgets the removal tag before the instance. */
  async function forget(instanceId: string, time: number): Promise<void> {
    await waitUntil(time);
    ec2.instances.get(instanceId)?.tags.delete(DEFAULT_TAG.key);
    await waitUntil(time + consumer.intervalMs);
    ec2.instances.delete(instanceId);
  }

  async function comeBack(instanceId: string) {
    await waitUntil(plan.returnAt);
    await fleet.restart(instanceId);
    setLifecycleState(instanceId, 'InService');
    if (withFunction) await publisher.publish('launching-from-warm-pool', instanceId);
    const tagLeft = ec2.instances.get(instanceId)?.tags.has(DEFAULT_TAG.key) ?? false;
    say(`${instanceId} back from the warm pool`);
    return { instanceId, at: now(), tagLeft };
  }

  async function watch(): Promise<void> {
    for (; !untilEnd.aborted; await sleep(WATCH_EVERY_MS)) {
      noteServersOut(scaleIns, await serversOfHaproxies(), now());
    }
  }

  function serversOfHaproxies(): Promise<(Servers | undefined)[]> {
    return Promise.all(loadBalancers.map((loadBalancer) => loadBalancer.servers()));
  }

  function now(): number {
    return Date.now() - load.startedAt;
  }

  async function waitUntil(time: number): Promise<void> {
    await sleep(Math.max(0, time - now()), undefined, { signal: untilEnd });
  }

  function say(line: string): void {
    options.onProgress(`${(now() / 1000).toFixed(1).padStart(5)} s  ${line}`);
  }
}

/**
 * Notes the time when an instance is out of every HAProxy. The time is cleared if an HAProxy uses the instance again before
 * the kill.
 * @param haproxies the servers of each HAProxy; undefined for an HAProxy that did not answer.
 */
export function noteServersOut(
  scaleIns: readonly ScaleIn[],
  haproxies: readonly (Servers | undefined)[],
  now: number,
): void {
  if (haproxies.includes(undefined)) return;
  for (const leaving of scaleIns) {
    // After the kill the instance may come back from the warm pool.
    if (leaving.killedAt !== undefined && leaving.outAt !== undefined) continue;
    if (haproxies.some((servers) => servers?.inPlace.has(leaving.instanceId))) delete leaving.outAt;
    else leaving.outAt ??= now;
  }
}
