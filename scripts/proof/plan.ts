import type { Consumer } from './consumer.ts';

/** What happens in every scenario, and when. Times are milliseconds since the load began. */
export interface Plan {
  /** Seed of the load's random choices: the same seed gives the same load. */
  readonly seed: number;
  readonly requestsPerSecond: number;
  readonly loadMs: number;
  readonly servers: number;
  readonly haproxies: number;
  /** The waiting time of the lifecycle hook. */
  readonly heartbeatMs: number;
  /** One entry for each instance that leaves; equal times leave together. The first one goes back to the warm pool. */
  readonly scaleInsAt: readonly number[];
  /** When the first one comes back from the warm pool. */
  readonly returnAt: number;
}

/** Milliseconds that the servers take to answer: drawn evenly from this range. */
export const ANSWER_MS = { shortest: 20, longest: 400 } as const;

/** HAProxy's `timeout http-keep-alive`: as long may a client wait with a last request on an old connection. */
export const KEEP_ALIVE_MS = 1000;

const DELIVERY_MS = 1000;
const MARGIN_MS = 500;

/** The least heartbeat timeout, in milliseconds: its parts, in the order in which they pass, and their sum. */
export function heartbeatArithmetic({ intervalMs, runMs, reloads }: Consumer, deliveryMs = DELIVERY_MS) {
  const parts = [
    { what: 'delivery and tag', ms: deliveryMs },
    { what: "consumer's interval", ms: intervalMs },
    { what: 'its run', ms: runMs },
    ...(reloads ? [{ what: 'kept-alive connection of an old worker', ms: KEEP_ALIVE_MS }] : []),
    { what: 'longest request', ms: ANSWER_MS.longest },
    { what: 'margin', ms: MARGIN_MS },
  ];
  const ms = parts.reduce((sum, part) => sum + part.ms, 0);
  return { ms, sentence: `${parts.map((part) => `${seconds(part.ms)} ${part.what}`).join(' + ')} = ${seconds(ms)}` };
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(2)} s`;
}

/** Milliseconds for which an instance may still get and answer requests after HAProxy has let go of it. */
export function lastRequestsMs({ reloads }: Consumer): number {
  return (reloads ? KEEP_ALIVE_MS : 0) + ANSWER_MS.longest;
}

/** What makes one run differ from another. */
export interface PlanOptions {
  readonly haproxies?: number;
  /** Instead of the time that the consumer's interval and run ask for. */
  readonly heartbeatMs?: number | undefined;
}

/** Ten scale-ins, four one by one and two times three together, over at least 20,000 requests. */
export function fullPlan(consumer: Consumer, options: PlanOptions = {}): Plan {
  // Each finds the consumer, and the builder of the comparisons, at another point of its interval.
  const scaleIns = [1.29, 3.06, 5.9, 7.7, 9.46, 9.46, 9.46, 12.35, 12.35, 12.35];
  const timing = timingOf(consumer, options, { scaleIns, leastStepMs: 3000, servesAgainMs: 8000 });
  return { ...timing, seed: 1, requestsPerSecond: 400, servers: 12 };
}

/** Three scale-ins, one alone and two together, in 13 s, or more with a slower consumer. */
export function shortPlan(consumer: Consumer, options: PlanOptions = {}): Plan {
  const timing = timingOf(consumer, options, { scaleIns: [0.53, 1.13, 1.13], leastStepMs: 1500, servesAgainMs: 4000 });
  return { ...timing, seed: 1, requestsPerSecond: 300, servers: 5 };
}

function timingOf(
  consumer: Consumer,
  { haproxies = 1, heartbeatMs: wished }: PlanOptions,
  { scaleIns, leastStepMs, servesAgainMs }: { scaleIns: number[]; leastStepMs: number; servesAgainMs: number },
) {
  const { intervalMs, runMs } = consumer;
  const heartbeatMs = wished ?? heartbeatArithmetic(consumer).ms;
  const scaleInsAt = scaleIns.map((steps) => Math.round(steps * Math.max(intervalMs, leastStepMs)));
  const returnAt = Math.max(...scaleInsAt) + heartbeatMs + 500;
  // The consumer sees the instance that is back at its next run at the latest.
  const loadMs = returnAt + intervalMs + runMs + servesAgainMs;
  return { haproxies, heartbeatMs, scaleInsAt, returnAt, loadMs };
}
