/** What happens in every scenario, and when. Times are milliseconds since the load began. */
export interface Plan {
  /** Of the load's random choices: the same seed gives the same load. */
  readonly seed: number;
  readonly requestsPerSecond: number;
  readonly loadMs: number;
  readonly servers: number;
  /** From one start of the builder to the next. */
  readonly builderIntervalMs: number;
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

// At the end of the load, after the builder has had its time to see the instance from the warm pool.
const SERVE_AGAIN_MS = 5000;

/** Ten scale-ins, four one by one and two times three together, over at least 20,000 requests. */
export function fullPlan(heartbeatMs = 7000): Plan {
  const scaleInsAt = [3000, 10_000, 17_000, 23_500, 29_000, 29_000, 29_000, 36_500, 36_500, 36_500];
  return { ...timing(scaleInsAt, heartbeatMs, 3000, 60_000), seed: 1, requestsPerSecond: 400, servers: 12 };
}

/** Three scale-ins, one alone and two together, in about a quarter of a minute. */
export function shortPlan(heartbeatMs = 4500): Plan {
  const scaleInsAt = [800, 1700, 1700];
  return { ...timing(scaleInsAt, heartbeatMs, 1500, 0), seed: 1, requestsPerSecond: 300, servers: 5 };
}

function timing(scaleInsAt: readonly number[], heartbeatMs: number, builderIntervalMs: number, atLeastMs: number) {
  const returnAt = Math.max(...scaleInsAt) + heartbeatMs + 500;
  const loadMs = Math.max(atLeastMs, returnAt + builderIntervalMs + SERVE_AGAIN_MS);
  return { scaleInsAt, heartbeatMs, builderIntervalMs, returnAt, loadMs };
}
