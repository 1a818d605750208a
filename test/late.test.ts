import { CreateTagsCommand, DeleteTagsCommand, EC2Client, EC2ServiceException } from '@aws-sdk/client-ec2';
import { mockClient } from 'aws-sdk-client-mock';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { event, publishedAt } from './helpers/event.ts';
import { useFakeTime } from './helpers/fake-time.ts';
import { coldStart } from './helpers/invoke.ts';

const ec2 = mockClient(EC2Client);
const NOW = Date.parse('2026-11-23T12:00:00.000Z');
const ASKING = ['terminating', 'launching-from-warm-pool', 'launch-notification-from-warm-pool'];

beforeEach(() => {
  ec2.reset();
  ec2.on(CreateTagsCommand).resolves({}).on(DeleteTagsCommand).resolves({});
  useFakeTime(NOW);
});
afterEach(() => {
  vi.useRealTimers();
});

function ago(ms: number) {
  return new Date(NOW - ms).toISOString();
}

describe('a message older than HEARTBEAT_TIMEOUT', () => {
  it.each(ASKING)('changes nothing, and the error gives its age and the limit: %s', async (name) => {
    const invoke = await coldStart({ HEARTBEAT_TIMEOUT: '300' });
    const { log, error } = await invoke(publishedAt(event(name), ago(300_001)));
    expect(ec2.calls()).toEqual([]);
    const message = `Sns.Timestamp is "${ago(300_001)}"; expected a message of at most 300 s (HEARTBEAT_TIMEOUT), and it is 301 s old`;
    expect(error).toMatchObject({ name: 'StaleMessageError', message });
    expect(log).toEqual([
      {
        level: 'error',
        line: expect.objectContaining({
          outcome: 'failed',
          reason: `StaleMessageError: ${message}`,
          region: 'us-west-2',
          instanceId: 'i-05629ab7d9287e205',
        }),
      },
    ]);
  });

  it('is still ignored when it asks for nothing', async () => {
    const invoke = await coldStart({ HEARTBEAT_TIMEOUT: '300' });
    for (const timestamp of [ago(300_001), 'yesterday']) {
      const { log, error } = await invoke(publishedAt(event('launching-new'), timestamp));
      expect(error).toBeUndefined();
      expect(log).toMatchObject([{ line: { outcome: 'ignored' } }]);
    }
  });

  it('does not keep the others of its event from being handled', async () => {
    const invoke = await coldStart({ HEARTBEAT_TIMEOUT: '300' });
    const { Records } = publishedAt(event('two-records'), ago(0));
    const [stale] = publishedAt(event('terminating'), ago(400_000)).Records;
    const { error } = await invoke({ Records: [stale, ...Records] });
    expect(ec2.commandCalls(CreateTagsCommand)).toHaveLength(2);
    expect(error).toMatchObject({ name: 'StaleMessageError' });
  });
});

describe('a message that is not older', () => {
  it.each([300_000, 0, -60_000])('is acted on: %d ms old', async (ageMs) => {
    const invoke = await coldStart({ HEARTBEAT_TIMEOUT: '300' });
    for (const name of ASKING) expect((await invoke(publishedAt(event(name), ago(ageMs)))).error).toBeUndefined();
    expect(ec2.calls()).toHaveLength(ASKING.length);
  });
});

describe('the timestamp', () => {
  it.each([
    [undefined, 'absent'],
    ['yesterday', '"yesterday"'],
    ['', '""'],
    [null, 'null'],
    [NOW, String(NOW)],
    [[ago(0)], 'an array of 1'],
  ])('is invalid input when it cannot be read: %j', async (timestamp, held) => {
    const invoke = await coldStart({ HEARTBEAT_TIMEOUT: '300' });
    for (const name of ASKING) {
      const { log, error } = await invoke(publishedAt(event(name), timestamp));
      expect(error).toMatchObject({
        name: 'InvalidEventError',
        message: `Sns.Timestamp is ${held}; expected a time as 2024-03-23T03:26:43.904Z`,
      });
      expect(log).toMatchObject([{ level: 'error', line: { outcome: 'failed' } }]);
    }
    expect(ec2.calls()).toEqual([]);
  });

  it.each([undefined, 'yesterday', ago(23 * 86_400_000)])('does not matter without a limit: %j', async (timestamp) => {
    const { error } = await (await coldStart())(publishedAt(event('terminating'), timestamp));
    expect(error).toBeUndefined();
    expect(ec2.commandCalls(CreateTagsCommand)).toHaveLength(1);
  });
});

describe('retries', () => {
  const throttled = new EC2ServiceException({
    name: 'RequestLimitExceeded',
    message: 'too many',
    $fault: 'client',
    $metadata: { httpStatusCode: 503 },
  });

  it.each([
    ['terminating', 20_000, 20_000],
    ['launching-from-warm-pool', 20_000, 20_000],
    // The function's own deadline, less the second that is kept for the report, comes first.
    ['terminating', 200_000, 119_000],
  ])('end when the message gets too old, or at the deadline: %s', async (name, leftMs, endsAfterMs) => {
    const moments: number[] = [];
    ec2.onAnyCommand().callsFake(() => {
      moments.push(Date.now() - NOW);
      throw throttled;
    });
    const invoke = await coldStart({ HEARTBEAT_TIMEOUT: '300' });
    const outcome = invoke(publishedAt(event(name), ago(300_000 - leftMs)), { timeoutMs: 120_000 });
    await vi.runAllTimersAsync();
    const { log, error } = await outcome;
    expect(error).toBe(throttled);
    expect(log).toMatchObject([{ line: { outcome: 'failed', reason: 'RequestLimitExceeded: too many' } }]);
    // The longest pause is 4 s.
    expect(moments.at(-1)).toBeGreaterThan(endsAfterMs - 4000);
    expect(moments.at(-1)).toBeLessThanOrEqual(endsAfterMs);
  });

  it.each(['terminating', 'launching-from-warm-pool'])('cut off a call that hangs at that moment: %s', async (name) => {
    ec2.reset();
    ec2.send.callsFake(
      (_command: unknown, options?: { abortSignal?: AbortSignal }) =>
        new Promise<never>((_, reject) =>
          options?.abortSignal?.addEventListener('abort', () => reject(options.abortSignal?.reason)),
        ),
    );
    const invoke = await coldStart({ HEARTBEAT_TIMEOUT: '30' });
    const outcome = invoke(publishedAt(event(name), ago(29_900)), { timeoutMs: 120_000 });
    const ended = outcome.then(({ error }) => ({ error, afterMs: Date.now() - NOW }));
    await vi.runAllTimersAsync();
    expect(await ended).toMatchObject({ error: { name: 'DeadlineError' }, afterMs: 100 });
  });
});
