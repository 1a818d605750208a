import { readFile } from 'node:fs/promises';
import type { SNSEvent } from 'aws-lambda';
import { expect, onTestFinished, test, vi } from 'vitest';
import { ID, OTHER } from './fixtures.ts';
import { publisherTo } from './publisher.ts';

test('a message names the instance and the present time, and comes after the end of the message before it', async () => {
  const time = '2030-01-02T03:04:05.006Z';
  vi.useFakeTimers({ toFake: ['Date'], now: Date.parse(time) });
  onTestFinished(() => void vi.useRealTimers());
  const events: SNSEvent[] = [];
  let inProgress = 0;
  const invoke = vi.fn(async (event: unknown) => {
    inProgress += 1;
    expect(inProgress).toBe(1);
    events.push(event as SNSEvent);
    // Takes longer than a message that does not wait.
    for (let n = 0; n < 10; n += 1) await readFile(new URL(import.meta.url));
    inProgress -= 1;
    return { log: [] };
  });
  const publisher = publisherTo({ invoke, stop: async () => {} });
  await Promise.all([publisher.publish('terminating', ID), publisher.publish('launching-from-warm-pool', OTHER)]);
  const messages = events.map(({ Records: [{ Sns } = {}] }) => ({ ...Sns, ...JSON.parse(Sns?.Message ?? '') }));
  expect(messages).toMatchObject([
    { Timestamp: time, Time: time, EC2InstanceId: ID, LifecycleTransition: 'autoscaling:EC2_INSTANCE_TERMINATING' },
    { EC2InstanceId: OTHER, LifecycleTransition: 'autoscaling:EC2_INSTANCE_LAUNCHING' },
  ]);
  expect(messages[0].RequestId).not.toBe(messages[1].RequestId);
  expect(publisher.errors).toEqual([]);
});

test('an error of the function is kept, and the next message is delivered all the same', async () => {
  const invoke = vi.fn(async () => ({ log: [], error: { errorType: 'TypeError', errorMessage: 'no' } }));
  const publisher = publisherTo({ invoke, stop: async () => {} });
  await publisher.publish('terminating', ID);
  await publisher.publish('terminating', ID);
  expect(publisher.errors).toEqual(['TypeError: no', 'TypeError: no']);
});
