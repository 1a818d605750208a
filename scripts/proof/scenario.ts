import { setTimeout as sleep } from 'node:timers/promises';
import { DEFAULT_TAG } from '../../src/settings.ts';
import { type StageOptions, setStage } from './stage.ts';

/** The scenarios, named after the protection of requests. */
export const SCENARIOS = {
  nothing: 'without anything',
  careful: 'careful HAProxy',
  function: 'with the function',
} as const;
export type ScenarioName = keyof typeof SCENARIOS;

/** One instance that left. Times are in milliseconds since the load began; a time is absent if the event did not happen. */
export interface ScaleIn {
  readonly instanceId: string;
  readonly hookAt?: number;
  taggedAt?: number;
  /** When the last HAProxy stopped using the instance. Cleared if a HAProxy uses the instance again before it is killed. */
  outAt?: number;
  killedAt?: number;
}

export type ScenarioOutcome = Awaited<ReturnType<typeof runScenario>>;

const WATCH_EVERY_MS = 50;
/** EC2 forgets a terminated instance after about an hour, but in the proof after this time. */
const REMEMBERED_MS = 500;

/** Starts everything, runs one scenario, and ends everything. */
export async function runScenario(name: ScenarioName, options: StageOptions) {
  const { plan, consumer, signal } = options;
  const withFunction = name === 'function';
  await using started = new AsyncDisposableStack();
  const mode = name === 'careful' ? 'careful' : 'plain';
  const { ec2, fleet, loadBalancers, consumers, publisher, load } = await setStage(mode, options, started);
  const instanceIds = fleet.servers.map(({ instanceId }) => instanceId);
  const [toWarmPool = ''] = instanceIds;
  const scaleIns: ScaleIn[] = [];
  const end = new AbortController();
  const untilEnd = AbortSignal.any([signal, end.signal]);

  const loading = load.results.finally(() => end.abort());
  const watching = watch();
  const leaving = plan.scaleInsAt.map((time, n) => scaleIn(instanceIds[n] ?? '', time));
  const returning = comeBack(toWarmPool);
  const steps = [loading, watching, returning, ...leaving];
  try {
    await Promise.all(steps);
    return {
      name,
      consumer: consumer.name,
      instanceIds,
      results: await loading,
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

  async function scaleIn(instanceId: string, time: number): Promise<void> {
    await waitUntil(time);
    const leaving: ScaleIn = { instanceId, ...(withFunction && { hookAt: now() }) };
    scaleIns.push(leaving);
    let delivery = Promise.resolve();
    if (withFunction) {
      const sample = instanceId === toWarmPool ? 'terminating-to-warm-pool' : 'terminating';
      delivery = publisher.publish(sample, instanceId).then(() => {
        if (ec2.instances.get(instanceId)?.tags.get(DEFAULT_TAG.key) === DEFAULT_TAG.value) leaving.taggedAt = now();
      });
      // The heartbeat timeout does not wait for the function, so the code awaits this promise later.
      delivery.catch(() => {});
      await waitUntil(time + plan.heartbeatMs);
    }
    leaving.killedAt = now();
    await fleet.kill(instanceId, instanceId === toWarmPool ? 'stopped' : 'terminated');
    await delivery;
    say(`${instanceId} killed`);
    if (instanceId !== toWarmPool) await forget(instanceId, leaving.killedAt + REMEMBERED_MS);
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
    if (withFunction) await publisher.publish('launching-from-warm-pool', instanceId);
    const tagLeft = ec2.instances.get(instanceId)?.tags.has(DEFAULT_TAG.key) ?? false;
    say(`${instanceId} back from the warm pool`);
    return { instanceId, at: now(), tagLeft };
  }

  async function watch(): Promise<void> {
    for (; !untilEnd.aborted; await sleep(WATCH_EVERY_MS)) {
      const inPlace = await Promise.all(loadBalancers.map((loadBalancer) => loadBalancer.serversInPlace()));
      noteServersOut(scaleIns, inPlace, now());
    }
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
 * Notes the time when an instance is out of every HAProxy. The time is cleared if a HAProxy uses the instance again before
 * it is killed.
 * @param inPlace the servers of each HAProxy; undefined for an HAProxy that did not answer.
 */
export function noteServersOut(
  scaleIns: readonly ScaleIn[],
  inPlace: readonly (ReadonlySet<string> | undefined)[],
  now: number,
): void {
  if (inPlace.includes(undefined)) return;
  for (const leaving of scaleIns) {
    // After the kill the instance may come back from the warm pool.
    if (leaving.killedAt !== undefined && leaving.outAt !== undefined) continue;
    if (inPlace.some((servers) => servers?.has(leaving.instanceId))) delete leaving.outAt;
    else leaving.outAt ??= now;
  }
}
