import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test, vi } from 'vitest';
import { useFakeTime } from '../../test/helpers/fake-time.ts';
import { runEvery } from './consumer.ts';

vi.mock('node:timers/promises', () => import('./fake-sleep.ts'));

describe('a run at every interval', () => {
  test('fails at its start when the first run does', async () => {
    await expect(runEvery(10, () => Promise.reject(new Error('no permission')))).rejects.toThrow('no permission');
  });

  test('goes on after a run that failed, until it is stopped', async () => {
    const runs = vi.fn(async () => {});
    runs.mockResolvedValueOnce().mockRejectedValueOnce(new Error('out of order'));
    const consumer = await runEvery(5, runs);
    await vi.waitFor(() => expect(runs.mock.calls.length).toBeGreaterThan(3), 10_000);
    await consumer.stop();
    expect(consumer.failures).toEqual(['out of order']);
    runs.mockClear();
    const other = vi.fn(async () => {});
    const later = await runEvery(5, other);
    await vi.waitFor(() => expect(other.mock.calls.length).toBeGreaterThan(2), 10_000);
    await later.stop();
    expect(runs).not.toHaveBeenCalled();
  });

  test('follows a run that took several intervals at once, and only once', async () => {
    useFakeTime();
    const begun: number[] = [];
    const start = performance.now();
    const consumer = await runEvery(1000, async () => {
      begun.push(performance.now() - start);
      if (begun.length === 2) await new Promise((resolve) => setTimeout(resolve, 3500));
    });
    await vi.advanceTimersByTimeAsync(6600);
    await consumer.stop();
    // A timer takes 1 ms at least.
    expect(begun).toEqual([0, 1000, 4501, 5501, 6501]);
  });

  test('is waited for when it is stopped', async () => {
    const [begun, end] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const runs = vi.fn(async () => {});
    runs.mockResolvedValueOnce().mockImplementationOnce(() => {
      begun.resolve();
      return end.promise;
    });
    const consumer = await runEvery(5, runs);
    await begun.promise;
    const stopped = consumer.stop();
    const first = await Promise.race([stopped.then(() => 'stopped'), sleep(0, 'still running')]);
    end.resolve();
    await stopped;
    expect(first).toBe('still running');
  });
});
