import { beforeEach, describe, expect, it, vi } from 'vitest';
import { ec2, ec2Error } from './helpers/ec2.ts';
import { event, publishedAt } from './helpers/event.ts';
import { useFakeTime } from './helpers/fake-time.ts';
import { coldStart, invoke } from './helpers/invoke.ts';

const NOW = Date.parse('2026-11-23T12:00:00.000Z');
const HEARTBEAT_MS = 300_000;
const HEARTBEAT_TIMEOUT = String(HEARTBEAT_MS / 1000);
const ASKING = ['terminating', 'launching-from-warm-pool', 'launch-notification-from-warm-pool'];

beforeEach(() => useFakeTime(NOW));

function ago(ms: number) {
  return new Date(NOW - ms).toISOString();
}

describe('a message older than HEARTBEAT_TIMEOUT', () => {
  it.each(ASKING)('changes nothing, and the error gives its age and the limit: %s', async (name) => {
    const call = await coldStart({ HEARTBEAT_TIMEOUT });
    const { log, error } = await call(publishedAt(event(name), ago(300_001)));
    expect(ec2.calls()).toEqual([]);
    const message = `Sns.Timestamp is "${ago(300_001)}"; expected an age of at most 300 s (HEARTBEAT_TIMEOUT); the message is 301 s old`;
    expect(error).toMatchObject({ name: 'StaleMessageError', message });
    const line = { outcome: 'failed', reason: `StaleMessageError: ${message}`, instanceId: 'i-05629ab7d9287e205' };
    expect(log).toMatchObject([{ level: 'error', line }]);
  });

  it('is ignored when it asks for no change', async () => {
    const call = await coldStart({ HEARTBEAT_TIMEOUT });
    expect(await call(publishedAt(event('launching-new'), ago(300_001)))).toMatchObject({
      log: [{ line: { outcome: 'ignored' } }],
      error: undefined,
    });
  });
});

it.each([300_000, 0, -60_000])('a message of %d ms is acted on', async (ageMs) => {
  const call = await coldStart({ HEARTBEAT_TIMEOUT });
  expect(await call(publishedAt(event('terminating'), ago(ageMs)))).toMatchObject({ error: undefined });
  expect(ec2.calls()).toHaveLength(1);
});

it.each([
  [undefined, 'absent'],
  ['yesterday', '"yesterday"'],
  [NOW, `the number ${NOW}`],
  [[ago(0)], 'an array of 1'],
])('an invalid timestamp is refused: %j', async (timestamp, actual) => {
  const call = await coldStart({ HEARTBEAT_TIMEOUT });
  const { error } = await call(publishedAt(event('terminating'), timestamp));
  const message = `Sns.Timestamp is ${actual}; expected a time such as 2024-03-23T03:26:43.904Z`;
  expect(error).toMatchObject({ name: 'InvalidEventError', message });
  expect(ec2.calls()).toEqual([]);
});

it.each([undefined, ago(23 * 86_400_000)])('without a limit, the timestamp may be %j', async (timestamp) => {
  expect(await invoke(publishedAt(event('terminating'), timestamp))).toMatchObject({ error: undefined });
  expect(ec2.calls()).toHaveLength(1);
});

it.each([
  [20_000, 20_000],
  // The function's own deadline comes first, less the second that is kept for the report.
  [200_000, 119_000],
])('retries stop when the message gets too old, or at the deadline: %d ms', async (leftMs, endsAfterMs) => {
  const throttled = ec2Error('RequestLimitExceeded', 503);
  const moments: number[] = [];
  ec2.onAnyCommand().callsFake(() => {
    moments.push(Date.now() - NOW);
    throw throttled;
  });
  const call = await coldStart({ HEARTBEAT_TIMEOUT });
  const outcome = call(publishedAt(event('terminating'), ago(HEARTBEAT_MS - leftMs)), { timeoutMs: 120_000 });
  await vi.runAllTimersAsync();
  expect((await outcome).error).toBe(throttled);
  // The longest pause is 4 s.
  expect(moments.at(-1)).toBeGreaterThan(endsAfterMs - 4000);
  expect(moments.at(-1)).toBeLessThanOrEqual(endsAfterMs);
});
