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

export type LoadPlan = Pick<Plan, 'requestsPerSecond' | 'loadMs'>;

/** The requests of a plan, in order. The same plan always gives the same requests. */
export function plannedRequests({ requestsPerSecond, loadMs }: LoadPlan): PlannedRequest[] {
  const random = xoroshiro128plus(1);
  return Array.from({ length: Math.floor((loadMs * requestsPerSecond) / 1000) }, (_, number) => ({
    number,
    at: (number * 1000) / requestsPerSecond,
    method: uniformInt(random, 1, 100) <= 25 ? 'POST' : 'GET',
    keptAlive: uniformInt(random, 1, 100) <= 60,
    answerMs: uniformInt(random, ANSWER_MS.shortest, ANSWER_MS.longest),
  }));
}

/** What happened to one request. Times are in milliseconds. */
export interface Result {
  /** When the request was due, since the load began. */
  readonly at: number;
  /** From the due time to the end of the request. */
  readonly ms: number;
  /** The server that answered. A lost request has a `cause` instead. */
  readonly server?: string;
  /** How the request was lost, such as "reset" or "502 Bad Gateway". */
  readonly cause?: string;
}
