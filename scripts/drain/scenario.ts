import { setTimeout as sleep } from 'node:timers/promises';
import { EC2Client } from '@aws-sdk/client-ec2';
import { readSettings } from '../../src/settings.ts';
import { startEc2Endpoint } from '../aws/ec2-endpoint.ts';
import { startLambda } from '../aws/lambda.ts';
import { keepBuilding, serversToKeep } from './builder.ts';
import { startFleet } from './fleet.ts';
import { freePort } from './free-port.ts';
import { startHaproxy } from './haproxy.ts';
import { startLoad } from './load.ts';
import type { Plan } from './plan.ts';
import type { Result } from './result.ts';
import { topicOf } from './topic.ts';

/** What is done against lost requests. */
export const SCENARIOS = {
  nothing: 'nothing',
  careful: 'careful HAProxy',
  function: 'with the function',
} as const;
export type ScenarioName = keyof typeof SCENARIOS;

/** One instance that left. Times are milliseconds since the load began; absent is what did not happen. */
export interface ScaleIn {
  readonly instanceId: string;
  readonly hookAt?: number;
  taggedAt?: number;
  /** When a worker of HAProxy without it took over. */
  reloadedAt?: number;
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
  readonly instanceIds: readonly string[];
  readonly results: readonly Result[];
  readonly scaleIns: readonly ScaleIn[];
  readonly returned: Return;
  /** Of the builder's runs that changed something: from the question to EC2 to HAProxy's new worker, in milliseconds. */
  readonly longestReloadMs: number;
  /** What the function threw, in words. */
  readonly functionErrors: readonly string[];
}

export interface ScenarioOptions {
  readonly plan: Plan;
  /** The bundled function. */
  readonly zip: Uint8Array;
  /** Where HAProxy's files go. */
  readonly folder: string;
  readonly signal: AbortSignal;
  readonly onProgress: (line: string) => void;
}

const { tag } = readSettings({});

/** Runs one scenario, from the start of its processes to their end. */
export async function runScenario(name: ScenarioName, options: ScenarioOptions): Promise<ScenarioOutcome> {
  const { plan, zip, folder, signal } = options;
  await using cleanup = new AsyncDisposableStack();
  const endpoint = await startEc2Endpoint();
  cleanup.defer(() => endpoint.close());
  const credentials = { accessKeyId: 'local', secretAccessKey: 'local' };
  const ec2 = new EC2Client({ region: 'us-west-2', endpoint: endpoint.url, credentials });
  cleanup.defer(() => ec2.destroy());
  const fleet = await startFleet(endpoint, plan.servers);
  cleanup.defer(() => fleet.stop());
  const port = await freePort();
  const servers = await serversToKeep(ec2);
  const haproxy = await startHaproxy({ folder, port, careful: name === 'careful' }, servers);
  cleanup.defer(() => haproxy.stop());
  const lambda = await startLambda(zip, { environment: { AWS_ENDPOINT_URL: endpoint.url } });
  cleanup.defer(() => lambda.stop());
  const topic = topicOf(lambda);
  signal.throwIfAborted();
  const load = await startLoad({ plan, port });
  cleanup.defer(() => load.stop());

  const end = new AbortController();
  const untilEnd = AbortSignal.any([signal, end.signal]);
  const scaleIns: ScaleIn[] = [];
  let longestReloadMs = 0;

  const building = keepBuilding(ec2, haproxy, servers, {
    intervalMs: plan.builderIntervalMs,
    signal: untilEnd,
    onReload(inPlace, tookMs) {
      longestReloadMs = Math.max(longestReloadMs, tookMs);
      for (const leaving of scaleIns) if (!inPlace.has(leaving.instanceId)) leaving.reloadedAt ??= now();
    },
  });
  const first = fleet.instanceIds[0] ?? '';
  const story = Promise.all([
    ...plan.scaleInsAt.map((time, n) => scaleIn(fleet.instanceIds[n] ?? '', time)),
    comeBack(first),
  ]).then((steps) => steps.at(-1) as Return);

  try {
    const results = load.results.finally(() => end.abort());
    const [returned] = await Promise.all([story, results, building]);
    return {
      name,
      instanceIds: fleet.instanceIds,
      results: await results,
      scaleIns,
      returned,
      longestReloadMs,
      functionErrors: topic.errors,
    };
  } finally {
    end.abort();
    await Promise.allSettled([building, story]);
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

  async function scaleIn(instanceId: string, time: number): Promise<void> {
    await at(time);
    const leaving: ScaleIn = { instanceId, ...(name === 'function' && { hookAt: now() }) };
    scaleIns.push(leaving);
    const toWarmPool = instanceId === first;
    let delivery = Promise.resolve();
    if (name === 'function') {
      delivery = topic.publish(toWarmPool ? 'terminating-to-warm-pool' : 'terminating', instanceId).then(() => {
        if (endpoint.instances.get(instanceId)?.tags.get(tag.key) === tag.value) leaving.taggedAt = now();
      });
      // Awaited below: the heartbeat timeout does not wait for the function.
      delivery.catch(() => {});
      await at(time + plan.heartbeatMs);
    }
    leaving.killedAt = now();
    await fleet.kill(instanceId, toWarmPool ? 'stopped' : 'terminated');
    await delivery;
    say(`${instanceId} killed${sinceHook(leaving)}`);
  }

  async function comeBack(instanceId: string): Promise<Return> {
    await at(plan.returnAt);
    await fleet.restart(instanceId);
    if (name === 'function') await topic.publish('launching-from-warm-pool', instanceId);
    const tagLeft = endpoint.instances.get(instanceId)?.tags.has(tag.key) ?? false;
    say(`${instanceId} back from the warm pool`);
    return { instanceId, at: now(), tagLeft };
  }
}

function sinceHook({ hookAt, taggedAt, reloadedAt }: ScaleIn): string {
  if (hookAt === undefined) return '';
  const after = (time: number | undefined) =>
    time === undefined ? 'never' : `${((time - hookAt) / 1000).toFixed(2)} s`;
  return `; from the hook to the tag ${after(taggedAt)}, out of HAProxy ${after(reloadedAt)}`;
}
