import { addAbortListener } from 'node:events';
import type { setTimeout as realSleep } from 'node:timers/promises';

/**
 * Replaces `node:timers/promises`, whose timers Vitest does not fake:
 * `vi.mock('node:timers/promises', () => import('./fake-sleep.ts'))`.
 */
export const setTimeout: typeof realSleep = (ms, value, { signal } = {}) =>
  new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const timer = globalThis.setTimeout(() => {
      listener?.[Symbol.dispose]();
      resolve(value as never);
    }, ms);
    const listener =
      signal &&
      addAbortListener(signal, () => {
        globalThis.clearTimeout(timer);
        reject(new DOMException('The operation was aborted', 'AbortError'));
      });
  });
