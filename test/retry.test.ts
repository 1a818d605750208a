import { beforeEach, describe, expect, it, vi } from 'vitest';
import { calls, ec2, ec2Error } from './helpers/ec2.ts';
import { event } from './helpers/event.ts';
import { useFakeTime } from './helpers/fake-time.ts';
import { coldStart } from './helpers/invoke.ts';

const BOTH = ['terminating', 'launching-from-warm-pool'];

beforeEach(() => useFakeTime());

async function invoke(name: string, timeoutMs = 15_000) {
  const call = await coldStart();
  const started = Date.now();
  const ended = call(event(name), { timeoutMs }).then((result) => ({ ...result, tookMs: Date.now() - started }));
  await vi.runAllTimersAsync();
  return ended;
}

/** Throttles every call, and returns the pauses between the calls. */
async function pauses(timeoutMs: number) {
  const moments: number[] = [];
  ec2.onAnyCommand().callsFake(() => {
    moments.push(Date.now());
    throw ec2Error('RequestLimitExceeded', 503);
  });
  await invoke('terminating', timeoutMs);
  return moments.slice(1).map((moment, index) => moment - (moments[index] ?? 0));
}

function withCode(code: string): [string, Error] {
  return [code, Object.assign(new Error('connection'), { code })];
}

describe('a transient error', () => {
  it.each([
    ['throttling', ec2Error('RequestLimitExceeded', 503)],
    ['throttling by status', ec2Error('Whatever', 429)],
    ['a request that took too long', ec2Error('Whatever', 408)],
    ['an internal error', ec2Error('InternalError', 500)],
    ['a status above 504', ec2Error('Whatever', 507)],
    ['an instance that EC2 does not find yet', ec2Error('InvalidInstanceID.NotFound')],
    ['a tag access at the same time', ec2Error('ConcurrentTagAccess')],
    ['a timeout', Object.assign(new Error('too long'), { name: 'TimeoutError' })],
    // Node's codes for DNS, sockets, TLS, file handles, and answers that are not HTTP.
    ...['EBUSY', 'ENOTFOUND', 'EAI_AGAIN', 'ECONNRESET', 'ECONNREFUSED', 'EPIPE', 'EMFILE', 'EPROTO'].map(withCode),
    ...['ERR_SSL_WRONG_VERSION_NUMBER', 'ERR_SOCKET_CLOSED', 'HPE_INVALID_CONSTANT'].map(withCode),
  ])('is retried until EC2 accepts the call: %s', async (_, error) => {
    for (const name of BOTH) {
      ec2.reset();
      ec2.onAnyCommand().rejectsOnce(error).rejectsOnce(error).resolves({});
      const { log, error: thrown } = await invoke(name);
      expect(thrown).toBeUndefined();
      const [first, ...again] = calls();
      expect(again).toEqual([first, first]);
      expect(log).toMatchObject([{ level: 'info' }]);
    }
  });

  it('is thrown shortly before the deadline, with time left to report it', async () => {
    const last = ec2Error('RequestLimitExceeded', 503);
    ec2.onAnyCommand().rejects(last);
    const { log, error, tookMs } = await invoke('terminating', 60_000);
    expect(error).toBe(last);
    const reason = 'RequestLimitExceeded: RequestLimitExceeded!';
    expect(log).toMatchObject([{ level: 'error', line: { outcome: 'failed', reason } }]);
    // The longest pause is 4 s, and the function keeps the last second to report the error.
    expect(tookMs).toBeGreaterThan(55_000 - 1);
    expect(tookMs).toBeLessThan(59_000);
  });

  it('is retried after pauses of random length, whose limit doubles up to four seconds', async () => {
    const random = vi.spyOn(Math, 'random').mockReturnValue(1);
    expect(await pauses(30_000)).toEqual([200, 400, 800, 1600, 3200, 4000, 4000, 4000, 4000, 4000]);
    random.mockReturnValue(0.5);
    expect(await pauses(5000)).toEqual([100, 200, 400, 800, 1600]);
  });

  it.each([
    [1200, []],
    [1201, [200]],
  ])('is retried only when the pause leaves time: %d ms', async (timeoutMs, expected) => {
    vi.spyOn(Math, 'random').mockReturnValue(1);
    expect(await pauses(timeoutMs)).toEqual(expected);
  });
});

it('a hanging call is cut off at the deadline, and the error keeps the cause', async () => {
  const cut = Object.assign(new Error('Request aborted'), { name: 'AbortError' });
  ec2.reset();
  ec2.send.callsFake(
    (_command: unknown, options?: { abortSignal?: AbortSignal }) =>
      new Promise<never>((_, reject) => options?.abortSignal?.addEventListener('abort', () => reject(cut))),
  );
  const { error, tookMs } = await invoke('terminating', 1100);
  expect(tookMs).toBe(100);
  const message = 'EC2 did not answer in the time that was left';
  expect(error).toMatchObject({ name: 'DeadlineError', message, cause: cut });
});

describe('a permanent error', () => {
  const names = ['UnauthorizedOperation', 'TagLimitExceeded', 'InvalidInstanceID.Malformed'];
  it.each([
    ...names.map((name): [string, Error] => [name, ec2Error(name)]),
    ...['ERR_INVALID_CHAR', 'CERT_HAS_EXPIRED', 'X_HPE_', 'X_ERR_SSL_'].map(withCode),
  ])('is thrown at once: %s', async (_, permanent) => {
    ec2.onAnyCommand().rejects(permanent);
    const { log, error, tookMs } = await invoke('terminating');
    expect(error).toBe(permanent);
    expect(tookMs).toBe(0);
    expect(calls()).toHaveLength(1);
    expect(log).toMatchObject([{ level: 'error', line: { outcome: 'failed', reason: String(permanent) } }]);
  });

  it.each([undefined, 'text'])('may be a value that is not an Error: %j', async (thrown) => {
    ec2.onAnyCommand().callsFake(() => Promise.reject(thrown));
    const { log, error } = await invoke('terminating');
    expect(error).toBe(thrown);
    expect(log).toMatchObject([{ level: 'error', line: { outcome: 'failed', reason: String(thrown) } }]);
  });

  it('ends the retries of a transient error', async () => {
    ec2.onAnyCommand().rejectsOnce(ec2Error('Unavailable', 503)).rejects(ec2Error('UnauthorizedOperation', 403));
    expect(await invoke('terminating')).toMatchObject({ error: { name: 'UnauthorizedOperation' } });
    expect(calls()).toHaveLength(2);
  });
});

describe('an instance that EC2 does not find', () => {
  const notFound = ec2Error('InvalidInstanceID.NotFound');

  it.each(BOTH)('is gone exactly after ten seconds, counted from the first such answer: %s', async (name) => {
    vi.spyOn(Math, 'random').mockReturnValue(1);
    // The answers come after 0, 200, 600, 1400, 3000 and 6200 ms, and then every 4 s.
    ec2.onAnyCommand().rejectsOnce(ec2Error('Unavailable', 503)).rejects(notFound);
    const { log, error, tookMs } = await invoke(name, 120_000);
    expect(error).toBeUndefined();
    expect(tookMs).toBe(10_200);
    expect(log).toMatchObject([{ level: 'warn', line: { outcome: 'gone', instanceId: 'i-05629ab7d9287e205' } }]);
    expect(log[0]?.line).not.toHaveProperty('delayMs');
  });

  it('is an error when the deadline comes first, so that Lambda tries again', async () => {
    ec2.onAnyCommand().rejects(notFound);
    expect(await invoke('terminating', 9000)).toMatchObject({
      error: notFound,
      log: [{ line: { outcome: 'failed' } }],
    });
  });
});
