import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { LoadMessage, LoadOrder } from './load-process.ts';
import type { Result } from './requests.ts';

/** A load that is being sent. */
export interface Load {
  /** Date.now() when the load began. */
  readonly startedAt: number;
  /** The numbers of requests that were sent and lost so far. */
  readonly counts: { sent: number; lost: number };
  /** The results of all requests. */
  readonly results: Promise<readonly Result[]>;
  stop(): Promise<void>;
}

/** Starts the load generator. Resolves when the load begins. */
export async function startLoad(order: LoadOrder): Promise<Load> {
  const child = fork(fileURLToPath(new URL('load-process.ts', import.meta.url)));
  const exited = once(child, 'exit');
  const counts = { sent: 0, lost: 0 };
  const started = Promise.withResolvers<number>();
  const ended = Promise.withResolvers<readonly Result[]>();
  child.on('message', (message: LoadMessage) => {
    if ('results' in message) ended.resolve(message.results);
    else if ('startedAt' in message) started.resolve(message.startedAt);
    else Object.assign(counts, message);
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
