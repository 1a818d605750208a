import { uniformInt } from 'pure-rand/distribution/uniformInt';
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus';
import { ANSWER_MS, type Plan } from './plan.ts';

/** One request of the load, decided before the load begins. */
export interface PlannedRequest {
  readonly number: number;
  /** Milliseconds since the load began. */
  readonly at: number;
  readonly method: 'GET' | 'POST';
  /** Whether the request uses a connection that is kept alive, or a connection of its own. */
  readonly keptAlive: boolean;
  /** Milliseconds that the server takes to answer. */
  readonly answerMs: number;
}

export type LoadPlan = Pick<Plan, 'seed' | 'requestsPerSecond' | 'loadMs'>;

/** The requests of a plan, in order. The same plan always gives the same requests. */
export function plannedRequests({ seed, requestsPerSecond, loadMs }: LoadPlan): PlannedRequest[] {
  const random = xoroshiro128plus(seed);
  return Array.from({ length: Math.floor((loadMs * requestsPerSecond) / 1000) }, (_, number) => ({
    number,
    at: (number * 1000) / requestsPerSecond,
    method: uniformInt(random, 1, 100) <= 25 ? 'POST' : 'GET',
    keptAlive: uniformInt(random, 1, 100) <= 60,
    answerMs: uniformInt(random, ANSWER_MS.shortest, ANSWER_MS.longest),
  }));
}

/** Causes of a loss. "reset on reuse" is separate, because a reload can reset a connection that is used again. */
export const CAUSES = ['reset', 'reset on reuse', '502', '503', '504', 'timeout', 'other'] as const;
export type Cause = (typeof CAUSES)[number];

/** The result of one request. */
export interface Result {
  /** When the request was due, in milliseconds since the load began. */
  readonly at: number;
  /** Milliseconds from the due time until the request was sent. A high value means that the machine is too busy. */
  readonly lateMs: number;
  /** Milliseconds from the due time to the end of the request. */
  readonly ms: number;
  /** The server that answered. A lost request has a `cause` instead. */
  readonly server?: string;
  readonly cause?: Cause;
  /** The actual answer or error, where the cause is not enough. */
  readonly detail?: string;
}
