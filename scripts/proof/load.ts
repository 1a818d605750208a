import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { LoadMessage, LoadOrder } from './load-process.ts';
import type { Result } from './requests.ts';

/** Starts the load generator. Resolves when the load begins. */
export async function startLoad(order: LoadOrder) {
  const child = fork(fileURLToPath(new URL('load-process.ts', import.meta.url)));
  const exited = once(child, 'exit');
  const started = Promise.withResolvers<number>();
  const ended = Promise.withResolvers<readonly Result[]>();
  child.on('message', (message: LoadMessage) => {
    if ('results' in message) ended.resolve(message.results);
    else started.resolve(message.startedAt);
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
    /** Date.now() when the load began. */
    startedAt: await started.promise,
    /** What happened to every request. */
    results: ended.promise,
    async stop(): Promise<void> {
      child.kill('SIGKILL');
      await exited;
    },
  };
}
