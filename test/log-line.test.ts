import { CreateTagsCommand } from '@aws-sdk/client-ec2';
import { expect, it, vi } from 'vitest';
import { ec2, ec2Error } from './helpers/ec2.ts';
import { event, eventWith } from './helpers/event.ts';
import { useFakeTime } from './helpers/fake-time.ts';
import { invoke } from './helpers/invoke.ts';

const context = {
  instanceId: 'i-05629ab7d9287e205',
  autoScalingGroupName: 'web',
  lifecycleHookName: 'drain',
  region: 'us-west-2',
  requestId: 'f02639a5-62b9-0772-d50e-09647ae07b49',
};

it('has outcome, delay, instance, group, hook, region and request, and nothing else', async () => {
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

it.each([undefined, 'yesterday', null])('has no delay when the time of the message is %s', async (Time) => {
  const { log, error } = await invoke(eventWith('terminating', { Time }));
  expect(error).toBeUndefined();
  expect(log).toEqual([{ level: 'info', line: { outcome: 'tagged', ...context } }]);
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
  expect(log).toEqual([
    { level: 'error', line: { outcome: 'failed', region: 'us-west-2', reason: expect.anything() } },
  ]);
});

it('shows a name of 255 characters', async () => {
  const { log } = await invoke(eventWith('terminating', { LifecycleHookName: 'x'.repeat(255) }));
  expect(log).toMatchObject([{ line: { lifecycleHookName: 'x'.repeat(255) } }]);
});
