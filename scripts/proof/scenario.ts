import { setTimeout as sleep } from 'node:timers/promises';
import { readSettings } from '../../src/settings.ts';
import type { Consumer } from './consumer.ts';
import { own } from './consumers/own.ts';
import type { Result } from './load.ts';
import { type StageOptions, setStage } from './stage.ts';

/** The scenarios, named after their measure against lost requests. */
export const SCENARIOS = {
  nothing: 'without anything',
  careful: 'careful HAProxy',
  function: 'with the function',
} as const;
export type ScenarioName = keyof typeof SCENARIOS;

/**
 * The consumer of a scenario. A comparison needs a program that drops dead servers from haproxy.cfg, and not every
 * consumer does. So all comparisons have the same one.
 */
export function consumerOf(name: ScenarioName, chosen: Consumer): Consumer {
  return name === 'function' ? chosen : own;
}

/** One instance that left. Times are milliseconds since the load began; absent is what did not happen. */
export interface ScaleIn {
  readonly instanceId: string;
  readonly hookAt?: number;
  taggedAt?: number;
  /** When the last HAProxy stopped using the instance. Cleared if a HAProxy uses the instance again before it is killed. */
  outAt?: number;
  killedAt?: number;
}

/** The instance that came back from the warm pool. */
export interface Return {
  readonly instanceId: string;
  /** Milliseconds since the load began. */
  readonly at: number;
  readonly tagLeft: boolean;
}

export interface ScenarioOutcome {
  readonly name: ScenarioName;
  /** The name of the consumer that ran. */
  readonly consumer: string;
  readonly instanceIds: readonly string[];
  readonly results: readonly Result[];
  readonly scaleIns: readonly ScaleIn[];
  readonly returned: Return;
  /** The errors that the function threw. */
  readonly functionErrors: readonly string[];
  /** A sentence for each run of a consumer that failed. */
  readonly consumerFailures: readonly string[];
}

const { tag } = readSettings({});
const WATCH_EVERY_MS = 50;
/** EC2 forgets a terminated instance in an hour or so; here it begins to after this time. */
const REMEMBERED_MS = 500;

/** Runs one scenario, from the start of its processes to their end. */
export async function runScenario(name: ScenarioName, options: StageOptions): Promise<ScenarioOutcome> {
  const { plan, consumer, signal } = options;
  const withFunction = name === 'function';
  await using stage = await setStage(name === 'careful', options);
  const { ec2, fleet, haproxies, consumers, topic, load } = stage;
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
      scaleIns,
      returned: await returning,
      functionErrors: topic.errors,
      consumerFailures: consumers.flatMap(({ failures }) => failures),
    };
  } finally {
    end.abort();
    // The load would go on until its planned end.
    await load.stop();
    await Promise.allSettled(steps);
  }

  async function scaleIn(instanceId: string, time: number): Promise<void> {
    await at(time);
    const leaving: ScaleIn = { instanceId, ...(withFunction && { hookAt: now() }) };
    scaleIns.push(leaving);
    let delivery = Promise.resolve();
    if (withFunction) {
      const sample = instanceId === toWarmPool ? 'terminating-to-warm-pool' : 'terminating';
      delivery = topic.publish(sample, instanceId).then(() => {
        if (ec2.instances.get(instanceId)?.tags.get(tag.key) === tag.value) leaving.taggedAt = now();
      });
      // Awaited below: the heartbeat timeout does not wait for the function.
      delivery.catch(() => {});
      await at(time + plan.heartbeatMs);
    }
    leaving.killedAt = now();
    await fleet.kill(instanceId, instanceId === toWarmPool ? 'stopped' : 'terminated');
    await delivery;
    say(`${instanceId} killed${sinceHook(leaving)}`);
    if (instanceId !== toWarmPool) await forget(instanceId, leaving.killedAt + REMEMBERED_MS);
  }

  /** EC2 forgets the removal tag first. A consumer that only subtracts tagged instances then puts a dead server back. */
  async function forget(instanceId: string, time: number): Promise<void> {
    await at(time);
    ec2.instances.get(instanceId)?.tags.delete(tag.key);
    await at(time + consumer.intervalMs);
    ec2.instances.delete(instanceId);
  }

  async function comeBack(instanceId: string) {
    await at(plan.returnAt);
    await fleet.restart(instanceId);
    if (withFunction) await topic.publish('launching-from-warm-pool', instanceId);
    const tagLeft = ec2.instances.get(instanceId)?.tags.has(tag.key) ?? false;
    say(`${instanceId} back from the warm pool`);
    return { instanceId, at: now(), tagLeft };
  }

  async function watch(): Promise<void> {
    for (; !untilEnd.aborted; await sleep(WATCH_EVERY_MS)) {
      noteWhatIsOut(scaleIns, await Promise.all(haproxies.map((haproxy) => haproxy.serversInPlace())), now());
    }
  }

  function now(): number {
    return Date.now() - load.startedAt;
  }

  async function at(time: number): Promise<void> {
    await sleep(Math.max(0, time - now()), undefined, { signal: untilEnd });
  }

  function say(line: string): void {
    const { sent, lost } = load.counts;
    options.onProgress(`${(now() / 1000).toFixed(1).padStart(5)} s  ${line}  (${lost} of ${sent} lost so far)`);
  }
}

/**
 * Notes which instances every HAProxy has let go of; one that takes an instance back before its end has not let go.
 * @param inPlace the servers of each HAProxy; undefined where it did not answer.
 */
export function noteWhatIsOut(
  scaleIns: readonly ScaleIn[],
  inPlace: readonly (ReadonlySet<string> | undefined)[],
  now: number,
): void {
  if (inPlace.includes(undefined)) return;
  for (const leaving of scaleIns) {
    // After its end it may come back from the warm pool.
    if (leaving.killedAt !== undefined && leaving.outAt !== undefined) continue;
    if (inPlace.some((servers) => servers?.has(leaving.instanceId))) delete leaving.outAt;
    else leaving.outAt ??= now;
  }
}

function sinceHook({ hookAt, taggedAt, outAt }: ScaleIn): string {
  if (hookAt === undefined) return '';
  const after = (time: number | undefined) =>
    time === undefined ? 'never' : `${((time - hookAt) / 1000).toFixed(2)} s`;
  return `; from the hook to the tag ${after(taggedAt)}, out of HAProxy ${after(outAt)}`;
}
