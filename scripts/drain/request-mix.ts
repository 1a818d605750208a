import { uniformInt } from 'pure-rand/distribution/uniformInt';
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus';
import { ANSWER_MS, type Plan } from './plan.ts';

/** One request of the load, decided before it is sent. */
export interface PlannedRequest {
  readonly number: number;
  /** Milliseconds since the load began. */
  readonly at: number;
  readonly method: 'GET' | 'POST';
  /** Whether it goes over a connection kept alive, or over one of its own. */
  readonly keptAlive: boolean;
  /** Milliseconds that the server shall take to answer. */
  readonly answerMs: number;
}

/** The requests of a plan, in order: the same ones for the same plan. A quarter are POST, 60 % over kept connections. */
export function requestMix({ seed, requestsPerSecond, loadMs }: Plan): PlannedRequest[] {
  const random = xoroshiro128plus(seed);
  return Array.from({ length: Math.floor((loadMs * requestsPerSecond) / 1000) }, (_, number) => ({
    number,
    at: (number * 1000) / requestsPerSecond,
    method: uniformInt(random, 1, 100) <= 25 ? 'POST' : 'GET',
    keptAlive: uniformInt(random, 1, 100) <= 60,
    answerMs: uniformInt(random, ANSWER_MS.shortest, ANSWER_MS.longest),
  }));
}
