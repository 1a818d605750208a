import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Order, Report } from './load-process.ts';
import type { Result } from './result.ts';

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
export async function startLoad(order: Order): Promise<Load> {
  const child = fork(fileURLToPath(new URL('load-process.ts', import.meta.url)));
  const exited = once(child, 'exit');
  const counts = { sent: 0, lost: 0 };
  const started = Promise.withResolvers<number>();
  const ended = Promise.withResolvers<readonly Result[]>();
  child.on('message', (report: Report) => {
    if ('results' in report) ended.resolve(report.results);
    else if ('startedAt' in report) started.resolve(report.startedAt);
    else Object.assign(counts, report);
  });
  void exited.then(([code, signal]) => {
    const error = new Error(`the load generator ended (${signal ?? `exit code ${code}`})`);
    started.reject(error);
    ended.reject(error);
  });
  // Whoever waits for the results hears of it; the scenario may have failed before anybody does.
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
