import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { uniformInt } from 'pure-rand/distribution/uniformInt';
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus';
import type { LoadMessage } from './load-process.ts';
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

export type LoadPlan = Pick<Plan, 'seed' | 'requestsPerSecond' | 'loadMs'>;

/** The requests of a plan, in order: the same ones for the same plan. A quarter are POST, 60 % over kept connections. */
export function requestMix({ seed, requestsPerSecond, loadMs }: LoadPlan): PlannedRequest[] {
  const random = xoroshiro128plus(seed);
  return Array.from({ length: Math.floor((loadMs * requestsPerSecond) / 1000) }, (_, number) => ({
    number,
    at: (number * 1000) / requestsPerSecond,
    method: uniformInt(random, 1, 100) <= 25 ? 'POST' : 'GET',
    keptAlive: uniformInt(random, 1, 100) <= 60,
    answerMs: uniformInt(random, ANSWER_MS.shortest, ANSWER_MS.longest),
  }));
}

/** How a request was lost. A connection that had served before has a cause of its own: a reload can reset it. */
export const CAUSES = ['reset', 'reset on reuse', '502', '503', '504', 'timeout', 'other'] as const;
export type Cause = (typeof CAUSES)[number];

/** What became of one request. */
export interface Result {
  /** Milliseconds since the load began: when it was due. */
  readonly at: number;
  /** Milliseconds from when it was due until it was sent: much, where the machine is too busy. */
  readonly lateMs: number;
  /** Milliseconds from when it was due to its end. */
  readonly ms: number;
  /** The server that answered. A lost request has a `cause` instead. */
  readonly server?: string;
  readonly cause?: Cause;
  /** The actual answer or error, if the cause alone does not say it. */
  readonly detail?: string;
}

/** What to send, and to which ports of 127.0.0.1 in turns. */
export interface LoadOrder {
  readonly plan: LoadPlan;
  readonly ports: readonly number[];
  /** Milliseconds after which a request without an answer is lost; 5 s by default. */
  readonly timeoutMs?: number;
}

/** A load that is being sent. */
export interface Load {
  /** Date.now() of its beginning. */
  readonly startedAt: number;
  /** How much has been sent and lost so far. */
  readonly counts: { sent: number; lost: number };
  /** What became of every request. */
  readonly results: Promise<readonly Result[]>;
  stop(): Promise<void>;
}

/** Starts the load generator; resolves with its first request. */
export async function startLoad(order: LoadOrder): Promise<Load> {
  const child = fork(fileURLToPath(new URL('load-process.ts', import.meta.url)));
  const exited = once(child, 'exit');
  const counts = { sent: 0, lost: 0 };
  const started = Promise.withResolvers<number>();
  const ended = Promise.withResolvers<readonly Result[]>();
  child.on('message', (report: LoadMessage) => {
    if ('results' in report) ended.resolve(report.results);
    else if ('startedAt' in report) started.resolve(report.startedAt);
    else Object.assign(counts, report);
  });
  void exited.then(([code, signal]) => {
    const error = new Error(`the load generator ended (${signal ?? `exit code ${code}`})`);
    started.reject(error);
    ended.reject(error);
  });
  // The scenario may fail before it waits for the results. Then nobody handles this rejection.
  ended.promise.catch(() => {});
  child.send(order);
  return {
    startedAt: await started.promise,
    counts,
    results: ended.promise,
    async stop() {
      child.kill('SIGKILL');
      await exited;
    },
  };
}
