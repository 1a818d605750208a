import type { SNSEvent } from 'aws-lambda';
import { describe, expect, it } from 'vitest';
import { DEFAULT_TAG } from '../src/settings.ts';
import { calls, ec2 } from './helpers/ec2.ts';
import { event, eventWith, messageOf, withText } from './helpers/event.ts';
import { invoke } from './helpers/invoke.ts';

const INSTANCE = 'i-05629ab7d9287e205';
const TOKEN = '465e0162-e6af-4786-b4e8-bb544ae58790';
const TAGS = [{ Key: DEFAULT_TAG.key, Value: DEFAULT_TAG.value }];

it.each([
  ['terminating', INSTANCE],
  ['terminating-before-2021', 'i-1b2c3d4e'],
  ['terminating-with-metadata', INSTANCE],
  ['terminating-to-warm-pool', INSTANCE],
  ['root-volume-replacement-begins', INSTANCE],
])('an instance that leaves service is tagged: %s', async (name, instanceId) => {
  const { log, error } = await invoke(event(name));
  expect(error).toBeUndefined();
  expect(calls()).toEqual([{ command: 'CreateTagsCommand', input: { Resources: [instanceId], Tags: TAGS } }]);
  expect(log).toMatchObject([{ level: 'info', line: { outcome: 'tagged', instanceId } }]);
});

describe('an instance that is back in service', () => {
  it.each(['launching-from-warm-pool', 'root-volume-replacement-ends', 'launch-notification-from-warm-pool'])(
    'loses the tag with this key and this value: %s',
    async (name) => {
      const { log, error } = await invoke(event(name));
      expect(error).toBeUndefined();
      expect(calls()).toEqual([{ command: 'DeleteTagsCommand', input: { Resources: [INSTANCE], Tags: TAGS } }]);
      expect(log).toMatchObject([{ level: 'info', line: { outcome: 'untagged' } }]);
    },
  );

  // AWS documents no Origin and no Destination for notifications.
  it.each([
    { Origin: 'AutoScalingGroup', Destination: 'AutoScalingGroup' },
    { Origin: 'AutoScalingGroup', Destination: 'EC2' },
    { Origin: undefined, Destination: undefined },
    { Origin: 'Elsewhere', Destination: ['WarmPool'] },
  ])('loses the tag by a launch notification from $Origin to $Destination', async (way) => {
    await invoke(eventWith('launch-notification', way));
    expect(calls()).toMatchObject([{ command: 'DeleteTagsCommand' }]);
  });
});

const LAUNCHING = 'autoscaling:EC2_INSTANCE_LAUNCHING';
const LAUNCH = 'autoscaling:EC2_INSTANCE_LAUNCH';
const isNew = 'a new instance, which carries no tag';
const intoPool = 'into the warm pool, not yet into service';
const noReturn = 'Origin and Destination do not say that the instance returns to service';
const afterTheFact = 'is a notification sent after the fact, not a lifecycle hook';

it.each([
  [event('launching-new'), `${LAUNCHING}: ${isNew}`],
  [eventWith('launching-new', { EC2InstanceId: undefined }), `${LAUNCHING}: ${isNew}`],
  [event('launching-into-warm-pool'), `${LAUNCHING}: ${intoPool}`],
  [event('launching-before-2021'), `${LAUNCHING}: ${noReturn}`],
  ...[
    { Origin: 'WarmPool', Destination: 'EC2' },
    { Origin: 'warmpool', Destination: 'AutoScalingGroup' },
    { Origin: ['WarmPool'], Destination: 'AutoScalingGroup' },
  ].map((way): [SNSEvent, string] => [eventWith('launching-from-warm-pool', way), `${LAUNCHING}: ${noReturn}`]),
  [event('launch-notification'), `${LAUNCH}: ${isNew}`],
  [eventWith('launch-notification', { Origin: undefined, Destination: 'WarmPool' }), `${LAUNCH}: ${intoPool}`],
  [event('launch-error-notification'), `autoscaling:EC2_INSTANCE_LAUNCH_ERROR ${afterTheFact}`],
  [event('termination-notification'), `autoscaling:EC2_INSTANCE_TERMINATE ${afterTheFact}`],
  [event('test-notification'), 'test notification: a lifecycle hook was put'],
])('a message that asks for no change is ignored with a reason: $1', async (ignored, reason) => {
  const { log, error } = await invoke(ignored);
  expect(error).toBeUndefined();
  expect(ec2.calls()).toEqual([]);
  expect(log).toMatchObject([{ level: 'info', line: { outcome: 'ignored', reason } }]);
});

describe('an invalid message', () => {
  async function isRefused(refused: SNSEvent, message: string) {
    const { log, error } = await invoke(refused);
    expect(ec2.calls()).toEqual([]);
    expect(error).toMatchObject({ name: 'InvalidMessageError', message });
    const line = { outcome: 'failed', region: 'us-west-2', reason: `InvalidMessageError: ${message}` };
    expect(log).toMatchObject([{ level: 'error', line }]);
  }

  it.each([
    ['hello', '"hello"; expected a JSON text'],
    ['"'.repeat(24), `${JSON.stringify('"'.repeat(24))}; expected a JSON text`],
    ['"'.repeat(25), `${JSON.stringify('"'.repeat(24))}… (25 characters); expected a JSON text`],
    [undefined, 'absent; expected a JSON text'],
    // JSON.parse would turn the array into its text.
    [[JSON.stringify(messageOf(event('terminating')))], 'an array of 1; expected a JSON text'],
    ['[]', 'an array of 0; expected a JSON object'],
    ['null', 'null; expected a JSON object'],
    ['true', 'true; expected a JSON object'],
    ['7', 'the number 7; expected a JSON object'],
    ['"i-05629ab7d9287e205"', '"i-05629ab7d9287e205"; expected a JSON object'],
  ])('is refused when its text is %j', async (text, complaint) => {
    await isRefused(withText(event('terminating'), text), `Sns.Message is ${complaint}`);
  });

  it.each([
    ['breaks off', `{"LifecycleActionToken":"${TOKEN}"`, 'a JSON text'],
    ['was turned into JSON twice', JSON.stringify(`{"LifecycleActionToken":"${TOKEN}"}`), 'a JSON object'],
  ])('keeps its token out of the error when its text %s', async (_, text, expected) => {
    const { log, error } = await invoke(withText(event('terminating'), text));
    const shown = /^Sns\.Message is "\{\\"LifecycleActionToken\\":"… \(\d+ characters\); expected (.*)$/;
    expect(shown.exec((error as Error).message)?.[1]).toBe(expected);
    expect(JSON.stringify(log) + error).not.toContain(TOKEN.slice(0, 8));
  });

  it.each(['EC2InstanceId', 'AutoScalingGroupName', 'LifecycleHookName', 'RequestId'])(
    'keeps its token out of the log when a whole message stands in %s',
    async (field) => {
      const whole = JSON.stringify(messageOf(event('terminating')));
      const { log, error } = await invoke(eventWith('terminating', { [field]: whole }));
      expect(JSON.stringify(log) + error).not.toContain(TOKEN.slice(0, 8));
    },
  );

  it.each([
    ['autoscaling:EC2_INSTANCE_TERMINATING2', '"autoscaling:EC2_INSTANCE_TERMINATING2"'],
    ['autoscaling:EC2_INSTANCE_LAUNCH', '"autoscaling:EC2_INSTANCE_LAUNCH"'],
    ['autoscaling:EC2_INSTANCE_LAUNCHING ', '"autoscaling:EC2_INSTANCE_LAUNCHING "'],
    ['AUTOSCALING:EC2_INSTANCE_TERMINATING', '"AUTOSCALING:EC2_INSTANCE_TERMINATING"'],
    [['autoscaling:EC2_INSTANCE_TERMINATING'], 'an array of 1'],
    [null, 'null'],
  ])('is refused when its transition is %j, with an event beside it', async (LifecycleTransition, actual) => {
    await isRefused(
      eventWith('launching-from-warm-pool', { LifecycleTransition, Event: LAUNCH }),
      `LifecycleTransition is ${actual}; expected autoscaling:EC2_INSTANCE_TERMINATING or autoscaling:EC2_INSTANCE_LAUNCHING`,
    );
  });

  it('is refused when it has neither a transition nor an event', async () => {
    const complaint = 'LifecycleTransition is absent; expected a lifecycle transition, or the field Event';
    await isRefused(eventWith('terminating', { LifecycleTransition: undefined }), complaint);
  });

  it('is refused by name when it is an EventBridge event', async () => {
    const complaint = `detail-type is "EC2 Instance-terminate Lifecycle Action"; expected a lifecycle hook's own message instead of an EventBridge event`;
    await isRefused(event('eventbridge-in-sns'), complaint);
  });

  it.each([
    ['s3:TestEvent', '"s3:TestEvent"'],
    ['x autoscaling:A', '"x autoscaling:A"'],
    ['autoscaling:A B', '"autoscaling:A B"'],
    ['autoscaling:', '"autoscaling:"'],
    [[LAUNCH], 'an array of 1'],
    [{}, 'an object'],
    [null, 'null'],
  ])('is refused when its event is %j', async (Event, actual) => {
    const complaint = `Event is ${actual}; expected a name that begins with autoscaling:`;
    await isRefused(eventWith('test-notification', { Event }), complaint);
  });

  it.each([
    [undefined, 'absent'],
    ['', '""'],
    [[INSTANCE], 'an array of 1'],
    ['vol-05629ab7d9287e205', '"vol-05629ab7d9287e205"'],
    ['i-05629ab7d9287e2055', '"i-05629ab7d9287e2055"'],
    ['i-05629ab7d', '"i-05629ab7d"'],
    ['i-05629ab', '"i-05629ab"'],
    ['i-05629AB7D9287E205', '"i-05629AB7D9287E205"'],
    ['i-05629ab7d9287e205\n', '"i-05629ab7d9287e205\\n"'],
    [' i-05629ab7d9287e205', '" i-05629ab7d9287e205"'],
    ['i-05629ab7d9287e205,i-1b2c3d4e', '"i-05629ab7d9287e205,i-1b2c3d4e"'],
    ['x'.repeat(65), `"${'x'.repeat(64)}"… (65 characters)`],
    ['x'.repeat(64), `"${'x'.repeat(64)}"`],
  ])('is refused when its instance id is %j', async (EC2InstanceId, actual) => {
    const complaint = `EC2InstanceId is ${actual}; expected i- and 8 or 17 hexadecimal digits in lower case`;
    for (const name of ['terminating', 'launching-from-warm-pool', 'launch-notification-from-warm-pool']) {
      await isRefused(eventWith(name, { EC2InstanceId }), complaint);
    }
  });
});
