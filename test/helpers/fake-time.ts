import { afterEach, vi } from 'vitest';

/** Replaces the clock until the test ends, also for AbortSignal.timeout, which Vitest leaves on the real clock. */
export function useFakeTime(now?: number): void {
  vi.useFakeTimers(now === undefined ? {} : { now });
  vi.spyOn(AbortSignal, 'timeout').mockImplementation((ms) => {
    const end = new AbortController();
    setTimeout(() => end.abort(new DOMException('The operation was aborted due to timeout', 'TimeoutError')), ms);
    return end.signal;
  });
}

afterEach(() => void vi.useRealTimers());
