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

/** Ten scale-ins, four one by one and two times three together, over at least 20,000 requests. */
export function fullPlan(heartbeatMs = 7000): Plan {
  const scaleInsAt = [3500, 10_000, 17_000, 23_500, 29_000, 29_000, 29_000, 36_500, 36_500, 36_500];
  const timing = timingOf({ scaleInsAt, heartbeatMs, builderIntervalMs: 3000, servesAgainMs: 8000 });
  return { ...timing, seed: 1, requestsPerSecond: 400, servers: 12 };
}

/** Three scale-ins, one alone and two together, in 12 s. */
export function shortPlan(heartbeatMs = 4000): Plan {
  const scaleInsAt = [800, 1700, 1700];
  const timing = timingOf({ scaleInsAt, heartbeatMs, builderIntervalMs: 1500, servesAgainMs: 4000 });
  return { ...timing, seed: 1, requestsPerSecond: 300, servers: 5 };
}

function timingOf(
  plan: Pick<Plan, 'scaleInsAt' | 'heartbeatMs' | 'builderIntervalMs'> & { readonly servesAgainMs: number },
) {
  const { servesAgainMs, ...timing } = plan;
  const returnAt = Math.max(...plan.scaleInsAt) + plan.heartbeatMs + 500;
  // The builder sees the instance that is back at its next run at the latest.
  return { ...timing, returnAt, loadMs: returnAt + plan.builderIntervalMs + servesAgainMs };
}
