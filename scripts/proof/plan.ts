import type { Consumer } from './consumer.ts';

/** What happens in every scenario, and when. Times are in milliseconds since the load began. */
export type Plan = ReturnType<typeof planFor>;

/** Milliseconds that the servers take to answer, evenly distributed over this range. */
export const ANSWER_MS = { shortest: 20, longest: 400 } as const;

/** HAProxy's `timeout http-keep-alive`: how long a client may wait before it sends a last request on an old connection. */
export const KEEP_ALIVE_MS = 1000;

const DELIVERY_MS = 1000;
const MARGIN_MS = 500;
/** Two looks at the idle instance, and one more for the calls that end the wait. */
const LOOKS_TO_THE_END = 3;

/** The shortest heartbeat timeout that loses no request, in milliseconds and as a sum of its parts. */
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

/** Milliseconds for which an instance may still get and answer requests after it is out of HAProxy. */
export function lastRequestsMs({ reloads }: Consumer): number {
  return (reloads ? KEEP_ALIVE_MS : 0) + ANSWER_MS.longest;
}

/** Ten scale-ins, four one by one and two times three together, under at least 20,000 requests. */
const FULL = {
  requestsPerSecond: 400,
  servers: 12,
  // Each scale-in comes at another point in the interval of the consumer, and of the comparisons' builder.
  scaleIns: [1.29, 3.06, 5.9, 7.7, 9.46, 9.46, 9.46, 12.35, 12.35, 12.35],
  leastStepMs: 3000,
  servesAgainMs: 8000,
};

/** Three scale-ins, one alone and two together. */
const SHORT = {
  requestsPerSecond: 300,
  servers: 5,
  scaleIns: [0.53, 1.13, 1.13],
  leastStepMs: 1500,
  servesAgainMs: 4000,
};

/** How long a consumer may take to end the wait of an idle instance, in milliseconds. */
export function endOfWaitMs({ intervalMs }: Consumer): number {
  return LOOKS_TO_THE_END * intervalMs;
}

export interface PlanOptions {
  readonly short?: boolean;
  /** A heartbeat timeout that replaces the one that the consumer needs. */
  readonly heartbeatMs?: number | undefined;
  /** Whether the consumer ends the wait in one of the scenarios. */
  readonly completes?: boolean;
}

export function planFor(consumer: Consumer, options: PlanOptions = {}) {
  const { short = false, completes = false } = options;
  const { requestsPerSecond, servers, scaleIns, leastStepMs, servesAgainMs } = short ? SHORT : FULL;
  const { intervalMs, runMs } = consumer;
  const needed = heartbeatArithmetic(consumer).ms + (completes ? endOfWaitMs(consumer) : 0);
  const heartbeatMs = options.heartbeatMs ?? needed;
  // One entry for each instance that leaves. The first instance goes to the warm pool.
  const scaleInsAt = scaleIns.map((steps) => Math.round(steps * Math.max(intervalMs, leastStepMs)));
  // When the first instance comes back.
  const returnAt = Math.max(...scaleInsAt) + heartbeatMs + 500;
  // The consumer's next run sees the instance that came back.
  const loadMs = returnAt + intervalMs + runMs + servesAgainMs;
  return { requestsPerSecond, servers, heartbeatMs, scaleInsAt, returnAt, loadMs };
}
