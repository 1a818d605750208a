import { CreateTagsCommand } from '@aws-sdk/client-ec2';
import { describe, expect, it, vi } from 'vitest';
import { ec2, ec2Error } from './helpers/ec2.ts';
import { event, eventWith, publishedAt, withSns } from './helpers/event.ts';
import { useFakeTime } from './helpers/fake-time.ts';
import { coldStart, invoke } from './helpers/invoke.ts';

const context = {
  messageId: '95df01b4-ee98-5cb9-9903-4c221d41eb01',
  instanceId: 'i-05629ab7d9287e205',
  autoScalingGroupName: 'web',
  lifecycleHookName: 'drain',
  region: 'us-west-2',
  requestId: 'f02639a5-62b9-0772-d50e-09647ae07b49',
};

it('has outcome, delay, message, instance, group, hook, region and request, and nothing else', async () => {
  const { log } = await invoke(event('terminating'));
  expect(log).toEqual([{ level: 'info', line: { outcome: 'tagged', delayMs: expect.any(Number), ...context } }]);
});

it('gives the milliseconds from the message to the tag', async () => {
  const now = Date.now();
  useFakeTime(now);
  ec2.on(CreateTagsCommand).callsFake(() => void vi.setSystemTime(now + 20));
  const { log } = await invoke(eventWith('terminating', { Time: new Date(now - 5000).toISOString() }));
  expect(log[0]?.line.delayMs).toBe(5020);
});

describe('has no delay when the message', () => {
  async function isLoggedWithout(Time: unknown, environment: Record<string, string> = {}) {
    const sent = publishedAt(eventWith('terminating', { Time }), new Date().toISOString());
    const { log, error } = await (await coldStart(environment))(sent);
    expect(error).toBeUndefined();
    expect(log).toEqual([{ level: 'info', line: { outcome: 'tagged', ...context } }]);
  }
  const ago = (seconds: number) => new Date(Date.now() - seconds * 1000).toISOString();

  it.each([undefined, 'yesterday', null])('has the time %s', (Time) => isLoggedWithout(Time));

  it('comes from the future', () => isLoggedWithout(ago(-60)));

  it('is older than the heartbeat timeout', async () => {
    await isLoggedWithout(ago(301), { HEARTBEAT_TIMEOUT: '300' });
    await isLoggedWithout('1970-01-01T00:00:00Z', { HEARTBEAT_TIMEOUT: '7200' });
  });
});

it('has the delay of a tag that came just before the end of the heartbeat timeout', async () => {
  useFakeTime(Date.parse('2024-03-23T03:31:43.904Z'));
  const { log } = await (await coldStart({ HEARTBEAT_TIMEOUT: '300' }))(event('terminating'));
  expect(log[0]?.line.delayMs).toBe(300_000);
});

it('gives the reason of a failure, beside everything that is known of the message', async () => {
  ec2.on(CreateTagsCommand).rejects(ec2Error('TagLimitExceeded'));
  const { log } = await invoke(event('terminating'));
  const line = { outcome: 'failed', reason: 'TagLimitExceeded: TagLimitExceeded!', ...context };
  expect(log).toEqual([{ level: 'error', line }]);
});

it.each([5629, ['x'], {}, '', 'x'.repeat(256)])('leaves out a field that is no name: %j', async (odd) => {
  const changes = { EC2InstanceId: odd, AutoScalingGroupName: odd, LifecycleHookName: odd, RequestId: odd };
  const { log } = await invoke(eventWith('terminating', changes));
  const { messageId, region } = context;
  expect(log).toEqual([{ level: 'error', line: { outcome: 'failed', messageId, region, reason: expect.anything() } }]);
});

// U+009B begins a command for the terminal, like U+001B and [. JSON escapes only the second form.
const CONTROL = ['\u001b[2K', '\u009b2K', '\u007f', '\n'];

it.each(CONTROL)('leaves out a name with the control character %j', async (control) => {
  const name = `web${control}`;
  const changes = { AutoScalingGroupName: name, LifecycleHookName: name, RequestId: name };
  const { log } = await invoke(withSns(eventWith('terminating', changes), { MessageId: name }));
  const { instanceId, region } = context;
  expect(log).toEqual([
    { level: 'info', line: { outcome: 'tagged', delayMs: expect.any(Number), instanceId, region } },
  ]);
});

it.each(CONTROL)('escapes the control character %j in the reason of a failure', async (control) => {
  const { log } = await invoke(eventWith('terminating', { EC2InstanceId: `i-${control}` }));
  expect(log[0]?.line.reason).toMatch(/^InvalidMessageError: EC2InstanceId is "i-\\(u00[0-9a-f]{2}|n)[^\p{Cc}]*$/u);
});

it.each(['--endpoint-url=https://evil.example/', 'file:///etc/passwd', 'i-0562', 'vol-05629ab7d9287e205'])(
  'has no instance when the message names %s',
  async (EC2InstanceId) => {
    const { instanceId: _, ...others } = context;
    const { log } = await invoke(eventWith('terminating', { EC2InstanceId }));
    expect(log).toEqual([{ level: 'error', line: { outcome: 'failed', reason: expect.anything(), ...others } }]);
  },
);

it('shows a name of 255 characters', async () => {
  const { log } = await invoke(eventWith('terminating', { LifecycleHookName: 'x'.repeat(255) }));
  expect(log).toMatchObject([{ line: { lifecycleHookName: 'x'.repeat(255) } }]);
});
