import { CreateTagsCommand, DeleteTagsCommand } from '@aws-sdk/client-ec2';
import fc from 'fast-check';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { ec2, ec2Error } from './helpers/ec2.ts';
import { event, joined, publishedAt } from './helpers/event.ts';
import { useFakeTime } from './helpers/fake-time.ts';
import { coldStart, invoke } from './helpers/invoke.ts';

const NOW = Date.parse('2026-11-23T12:00:00.000Z');
const HEARTBEAT_MS = 300_000;
const HEARTBEAT_TIMEOUT = String(HEARTBEAT_MS / 1000);
const DAY_MS = 86_400_000;
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

  it.each([ago(300_001), 'yesterday'])('is ignored when it asks for no change: %s', async (timestamp) => {
    const call = await coldStart({ HEARTBEAT_TIMEOUT });
    expect(await call(publishedAt(event('launching-new'), timestamp))).toMatchObject({
      log: [{ line: { outcome: 'ignored' } }],
      error: undefined,
    });
  });

  it('is refused before its account is checked', async () => {
    const call = await coldStart({ HEARTBEAT_TIMEOUT });
    const { error } = await call(publishedAt(event('foreign-account'), ago(300_001)));
    expect(error).toMatchObject({ name: 'StaleMessageError' });
  });

  it('does not stop the other records of its event', async () => {
    const call = await coldStart({ HEARTBEAT_TIMEOUT });
    const stale = publishedAt(event('terminating'), ago(400_000));
    const { error } = await call(joined(stale, publishedAt(event('two-records'), ago(0))));
    expect(ec2.calls()).toHaveLength(2);
    expect(error).toMatchObject({ name: 'StaleMessageError' });
  });
});

it.each([300_000, 0, -60_000])('a message of %d ms is acted on', async (ageMs) => {
  const call = await coldStart({ HEARTBEAT_TIMEOUT });
  for (const name of ASKING) expect((await call(publishedAt(event(name), ago(ageMs)))).error).toBeUndefined();
  expect(ec2.calls()).toHaveLength(ASKING.length);
});

it.each([
  [undefined, 'absent'],
  ['yesterday', '"yesterday"'],
  ['', '""'],
  [null, 'null'],
  [NOW, `the number ${NOW}`],
  [[ago(0)], 'an array of 1'],
])('an invalid timestamp is refused: %j', async (timestamp, actual) => {
  const call = await coldStart({ HEARTBEAT_TIMEOUT });
  for (const name of ASKING) {
    const { error } = await call(publishedAt(event(name), timestamp));
    const message = `Sns.Timestamp is ${actual}; expected a time such as 2024-03-23T03:26:43.904Z`;
    expect(error).toMatchObject({ name: 'InvalidEventError', message });
  }
  expect(ec2.calls()).toEqual([]);
});

it.each([undefined, 'yesterday', ago(23 * DAY_MS)])('without a limit, the timestamp may be %j', async (timestamp) => {
  expect(await invoke(publishedAt(event('terminating'), timestamp))).toMatchObject({ error: undefined });
  expect(ec2.calls()).toHaveLength(1);
});

it.each([
  ['terminating', 20_000, 20_000],
  ['launching-from-warm-pool', 20_000, 20_000],
  // The function's own deadline comes first, a second before the timeout.
  ['terminating', 200_000, 119_000],
])('retries stop when the message gets too old, or at the deadline: %s', async (name, leftMs, endsAfterMs) => {
  const throttled = ec2Error('RequestLimitExceeded', 503);
  const moments: number[] = [];
  ec2.onAnyCommand().callsFake(() => {
    moments.push(Date.now() - NOW);
    throw throttled;
  });
  const call = await coldStart({ HEARTBEAT_TIMEOUT });
  const outcome = call(publishedAt(event(name), ago(HEARTBEAT_MS - leftMs)), { timeoutMs: 120_000 });
  await vi.runAllTimersAsync();
  expect((await outcome).error).toBe(throttled);
  // The longest pause is 4 s.
  expect(moments.at(-1)).toBeGreaterThan(endsAfterMs - 4000);
  expect(moments.at(-1)).toBeLessThanOrEqual(endsAfterMs);
});

it('only messages that come in time change the tag, also when messages are repeated and out of order', async () => {
  const delayMs = fc.oneof(
    fc.integer({ min: 0, max: 2 * HEARTBEAT_MS }),
    fc.constantFrom(HEARTBEAT_MS, HEARTBEAT_MS + 1),
    fc.integer({ min: 0, max: 23 * DAY_MS }),
  );
  // The instance leaves and returns in turns. Each time it rests first, and then waits for the heartbeat timeout.
  const turns = fc.array(
    fc.record({
      restMs: fc.integer({ min: 1, max: 2 * HEARTBEAT_MS }),
      delaysMs: fc.array(delayMs, { minLength: 1, maxLength: 3 }),
    }),
    { minLength: 1, maxLength: 8 },
  );
  let tagged: boolean;
  ec2.on(CreateTagsCommand).callsFake(() => (tagged = true));
  ec2.on(DeleteTagsCommand).callsFake(() => (tagged = false));
  const call = await coldStart({ HEARTBEAT_TIMEOUT });
  let refused = 0;
  await fc.assert(
    fc.asyncProperty(turns, async (life) => {
      tagged = false;
      let expected = false;
      let sentAt = NOW;
      const happenings: { readonly at: number; readonly run: () => unknown }[] = [];
      for (const [turn, { restMs, delaysMs }] of life.entries()) {
        const leaves = turn % 2 === 0;
        sentAt += restMs;
        const message = event(leaves ? 'terminating-to-warm-pool' : 'launching-from-warm-pool');
        const delivered = publishedAt(message, new Date(sentAt).toISOString());
        for (const ms of delaysMs) happenings.push({ at: sentAt + ms, run: () => call(delivered) });
        refused += delaysMs.filter((ms) => ms > HEARTBEAT_MS).length;
        if (delaysMs.some((ms) => ms <= HEARTBEAT_MS)) expected = leaves;
        const atEnd = expected;
        sentAt += HEARTBEAT_MS;
        happenings.push({ at: sentAt, run: () => expect(tagged).toBe(atEnd) });
      }
      for (const { at, run } of happenings.toSorted((a, b) => a.at - b.at)) {
        vi.setSystemTime(at);
        await run();
      }
      expect(tagged).toBe(expected);
    }),
  );
  expect(refused).toBeGreaterThan(50);
});
