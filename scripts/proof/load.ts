import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import type { LoadOrder } from './load-worker.ts';
import type { Result } from './requests.ts';

/** Starts the load generator. Resolves when the load begins. */
export async function startLoad(order: LoadOrder) {
  const worker = new Worker(new URL('load-worker.ts', import.meta.url), { workerData: order });
  const end = new AbortController();
  const message = async () => (await once(worker, 'message', { signal: end.signal }))[0];
  const startedAt: number = await message();
  const results: Promise<readonly Result[]> = message();
  // The scenario may fail before it waits for the results. Then nobody handles this rejection.
  results.catch(() => {});
  return {
    /** Date.now() when the load began. */
    startedAt,
    /** What happened to every request. */
    results,
    async stop(): Promise<void> {
      end.abort();
      await worker.terminate();
    },
  };
}
