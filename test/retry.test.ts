import { CreateTagsCommand, EC2Client, EC2ServiceException } from '@aws-sdk/client-ec2';
import { mockClient } from 'aws-sdk-client-mock';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { event } from './helpers/event.ts';
import { useFakeTime } from './helpers/fake-time.ts';
import { coldStart } from './helpers/invoke.ts';

const ec2 = mockClient(EC2Client);

beforeEach(() => {
  ec2.reset();
  useFakeTime();
});

afterEach(() => {
  vi.useRealTimers();
});

/** An error as the SDK throws it. */
function refusal(name: string, httpStatusCode = 400) {
  return new EC2ServiceException({ name, message: `${name}!`, $fault: 'client', $metadata: { httpStatusCode } });
}

async function invoke(name: string, timeoutMs?: number) {
  const call = await coldStart();
  const started = Date.now();
  const outcome = call(event(name), timeoutMs === undefined ? {} : { timeoutMs });
  const ended = outcome.then((result) => ({ ...result, tookMs: Date.now() - started }));
  await vi.runAllTimersAsync();
  return ended;
}

describe('a transient error', () => {
  it.each([
    ['throttling', refusal('RequestLimitExceeded', 503)],
    ['throttling by status', refusal('Whatever', 429)],
    ['an internal error', refusal('InternalError', 500)],
    ['a service that is unavailable', refusal('Unavailable', 503)],
    ['a status above 500', refusal('Whatever', 507)],
    ['a tag access at the same time', refusal('ConcurrentTagAccess')],
    ['a reset', Object.assign(new Error('socket hang up'), { code: 'ECONNRESET' })],
    ['a refused connection', Object.assign(new Error('connect'), { code: 'ECONNREFUSED' })],
    ['a name that does not resolve just now', Object.assign(new Error('getaddrinfo'), { code: 'EAI_AGAIN' })],
    ['a timeout', Object.assign(new Error('too long'), { name: 'TimeoutError' })],
  ])('is retried until EC2 takes the call: %s', async (_, error) => {
    for (const name of ['terminating', 'launching-from-warm-pool']) {
      ec2.reset();
      ec2.onAnyCommand().rejectsOnce(error).rejectsOnce(error).resolves({});
      const { log, error: thrown } = await invoke(name);
      expect(thrown).toBeUndefined();
      const [first, ...again] = ec2.calls().map(({ args: [command] }) => [command.constructor.name, command.input]);
      expect(again).toEqual([first, first]);
      expect(log).toMatchObject([{ level: 'info' }]);
    }
  });

  it('is thrown as it came when the time is nearly over, with time left to report it', async () => {
    const last = refusal('RequestLimitExceeded', 503);
    ec2.on(CreateTagsCommand).rejects(last);
    const { log, error, tookMs } = await invoke('terminating', 60_000);
    expect(error).toBe(last);
    expect(log).toMatchObject([
      { level: 'error', line: { outcome: 'failed', reason: 'RequestLimitExceeded: RequestLimitExceeded!' } },
    ]);
    // At most one pause of four seconds before the last second, which is kept for the report.
    expect(tookMs).toBeGreaterThan(55_000 - 1);
    expect(tookMs).toBeLessThan(59_000);
  });

  it('is retried after pauses that double up to four seconds, of random length', async () => {
    const random = vi.spyOn(Math, 'random').mockReturnValue(1);
    ec2.on(CreateTagsCommand).rejects(refusal('RequestLimitExceeded', 503));
    const moments: number[] = [];
    ec2.on(CreateTagsCommand).callsFake(() => {
      moments.push(Date.now());
      throw refusal('RequestLimitExceeded', 503);
    });
    await invoke('terminating', 30_000);
    const pauses = moments.slice(1).map((moment, index) => moment - (moments[index] ?? 0));
    expect(pauses).toEqual([200, 400, 800, 1600, 3200, 4000, 4000, 4000, 4000, 4000]);

    random.mockReturnValue(0.5);
    moments.length = 0;
    await invoke('terminating', 5000);
    expect(moments.slice(1).map((moment, index) => moment - (moments[index] ?? 0))).toEqual([100, 200, 400, 800, 1600]);
  });

  it('is not retried when the pause would take all the time that is left', async () => {
    vi.spyOn(Math, 'random').mockReturnValue(1);
    ec2.on(CreateTagsCommand).rejects(refusal('RequestLimitExceeded', 503));
    await invoke('terminating', 1200);
    expect(ec2.commandCalls(CreateTagsCommand)).toHaveLength(1);
    await invoke('terminating', 1201);
    expect(ec2.commandCalls(CreateTagsCommand)).toHaveLength(3);
  });

  it('is not retried when there is no time for another call', async () => {
    ec2.on(CreateTagsCommand).rejects(refusal('RequestLimitExceeded', 503));
    const { error } = await invoke('terminating', 900);
    expect(error).toMatchObject({ name: 'RequestLimitExceeded' });
    expect(ec2.commandCalls(CreateTagsCommand)).toHaveLength(1);
  });
});

it.each(['terminating', 'launching-from-warm-pool'])(
  'a call that hangs is cut off at the deadline, and the error keeps the cause: %s',
  async (name) => {
    const cut = Object.assign(new Error('Request aborted'), { name: 'AbortError' });
    ec2.reset();
    ec2.send.callsFake(
      (_command: unknown, options?: { abortSignal?: AbortSignal }) =>
        new Promise<never>((_, reject) => options?.abortSignal?.addEventListener('abort', () => reject(cut))),
    );
    const { error, tookMs } = await invoke(name, 1100);
    expect(tookMs).toBe(100);
    expect(error).toMatchObject({
      name: 'DeadlineError',
      message: 'EC2 did not answer in the time that was left',
      cause: cut,
    });
  },
);

describe('a permanent error', () => {
  it.each(['UnauthorizedOperation', 'TagLimitExceeded', 'InvalidInstanceID.Malformed', 'InvalidID', 'AuthFailure'])(
    'is thrown at once, as it came: %s',
    async (name) => {
      const permanent = refusal(name);
      ec2.on(CreateTagsCommand).rejects(permanent);
      const { log, error, tookMs } = await invoke('terminating');
      expect(error).toBe(permanent);
      expect(tookMs).toBe(0);
      expect(ec2.commandCalls(CreateTagsCommand)).toHaveLength(1);
      expect(log).toMatchObject([{ level: 'error', line: { outcome: 'failed', reason: `${name}: ${name}!` } }]);
    },
  );

  it.each([undefined, 'text'])('may be no error at all: %j', async (thrown) => {
    ec2.send.callsFake(() => Promise.reject(thrown));
    const { log } = await invoke('terminating');
    expect(log).toMatchObject([{ level: 'error', line: { outcome: 'failed', reason: String(thrown) } }]);
  });

  it('after a transient one ends the retries', async () => {
    ec2.on(CreateTagsCommand).rejectsOnce(refusal('Unavailable', 503)).rejects(refusal('UnauthorizedOperation', 403));
    const { error } = await invoke('terminating');
    expect(error).toMatchObject({ name: 'UnauthorizedOperation' });
    expect(ec2.commandCalls(CreateTagsCommand)).toHaveLength(2);
  });
});

describe('an instance that is gone', () => {
  it.each(['terminating', 'launching-from-warm-pool'])(
    'needs nothing more: a warning, and success: %s',
    async (name) => {
      ec2.onAnyCommand().rejects(refusal('InvalidInstanceID.NotFound'));
      const { log, error } = await invoke(name);
      expect(error).toBeUndefined();
      expect(ec2.calls()).toHaveLength(1);
      expect(log).toMatchObject([{ level: 'warn', line: { outcome: 'gone', instanceId: 'i-05629ab7d9287e205' } }]);
      expect(log[0]?.line).not.toHaveProperty('delayMs');
    },
  );

  it('may turn out to be gone at a retry', async () => {
    ec2
      .on(CreateTagsCommand)
      .rejectsOnce(refusal('ConcurrentTagAccess'))
      .rejects(refusal('InvalidInstanceID.NotFound'));
    expect(await invoke('terminating')).toMatchObject({ error: undefined, log: [{ line: { outcome: 'gone' } }] });
  });
});
