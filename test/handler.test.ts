import { CreateTagsCommand, DeleteTagsCommand, EC2Client } from '@aws-sdk/client-ec2';
import type { SNSEvent } from 'aws-lambda';
import { mockClient } from 'aws-sdk-client-mock';
import { beforeEach, describe, expect, it } from 'vitest';
import { event, eventWith, messageOf, withText } from './helpers/event.ts';
import { coldStart } from './helpers/invoke.ts';

const ec2 = mockClient(EC2Client);

beforeEach(() => {
  ec2.reset();
  ec2.on(CreateTagsCommand).resolves({}).on(DeleteTagsCommand).resolves({});
});

const TOKEN = '465e0162-e6af-4786-b4e8-bb544ae58790';
const TAGS = [{ Key: 'remove_from_lb', Value: 'yes' }];

/** Every call that reached EC2: the command's name and its input. */
function sent() {
  return ec2.calls().map(({ args: [command] }) => ({ command: command.constructor.name, input: command.input }));
}

describe('an instance that leaves service', () => {
  it.each([
    ['terminating', 'i-05629ab7d9287e205'],
    ['terminating-before-2021', 'i-1b2c3d4e'],
    ['terminating-with-metadata', 'i-05629ab7d9287e205'],
    ['terminating-to-warm-pool', 'i-05629ab7d9287e205'],
    ['root-volume-replacement-begins', 'i-05629ab7d9287e205'],
  ])('is tagged: %s', async (name, instanceId) => {
    const { log, error } = await (await coldStart())(event(name));
    expect(error).toBeUndefined();
    expect(sent()).toEqual([{ command: 'CreateTagsCommand', input: { Resources: [instanceId], Tags: TAGS } }]);
    expect(log).toEqual([{ level: 'info', line: expect.objectContaining({ outcome: 'tagged', instanceId }) }]);
  });
});

describe('an instance that is back in service', () => {
  it.each(['launching-from-warm-pool', 'root-volume-replacement-ends', 'launch-notification-from-warm-pool'])(
    'loses that tag with that value, and no other: %s',
    async (name) => {
      const { log, error } = await (await coldStart())(event(name));
      expect(error).toBeUndefined();
      expect(sent()).toEqual([
        { command: 'DeleteTagsCommand', input: { Resources: ['i-05629ab7d9287e205'], Tags: TAGS } },
      ]);
      expect(log).toEqual([{ level: 'info', line: expect.objectContaining({ outcome: 'untagged' }) }]);
    },
  );

  it('loses the tag after a root volume replacement that only a launch notification reports', async () => {
    await (await coldStart())(eventWith('launch-notification', { Origin: 'AutoScalingGroup' }));
    expect(sent()).toMatchObject([{ command: 'DeleteTagsCommand' }]);
  });
});

describe('a message that asks for nothing', () => {
  it.each([
    ['launching-new', 'autoscaling:EC2_INSTANCE_LAUNCHING: a new instance, which carries no tag'],
    ['launching-into-warm-pool', 'autoscaling:EC2_INSTANCE_LAUNCHING: into the warm pool, not yet into service'],
    [
      'launching-before-2021',
      'autoscaling:EC2_INSTANCE_LAUNCHING: not said to come back from a warm pool or a root volume replacement',
    ],
    ['launch-notification', 'autoscaling:EC2_INSTANCE_LAUNCH: a new instance, which carries no tag'],
    [
      'launch-error-notification',
      'autoscaling:EC2_INSTANCE_LAUNCH_ERROR is a notification sent after the fact, not a lifecycle hook',
    ],
    [
      'termination-notification',
      'autoscaling:EC2_INSTANCE_TERMINATE is a notification sent after the fact, not a lifecycle hook',
    ],
    ['test-notification', 'test notification: a lifecycle hook was put'],
  ])('is ignored with the reason, and EC2 is not called: %s', async (name, reason) => {
    const { log, error } = await (await coldStart())(event(name));
    expect(error).toBeUndefined();
    expect(sent()).toEqual([]);
    expect(log).toEqual([{ level: 'info', line: expect.objectContaining({ outcome: 'ignored', reason }) }]);
  });

  it.each([
    { Origin: 'WarmPool', Destination: 'WarmPool' },
    { Origin: 'WarmPool', Destination: 'EC2' },
    { Origin: 'EC2', Destination: 'AutoScalingGroup' },
    { Origin: 'warmpool', Destination: 'AutoScalingGroup' },
    { Origin: 'WarmPool', Destination: undefined },
    { Origin: undefined, Destination: 'AutoScalingGroup' },
    { Origin: ['WarmPool'], Destination: 'AutoScalingGroup' },
  ])('is a launch that is not surely a return: $Origin → $Destination', async (way) => {
    const { log } = await (await coldStart())(eventWith('launching-from-warm-pool', way));
    expect(sent()).toEqual([]);
    expect(log).toMatchObject([{ line: { outcome: 'ignored' } }]);
  });

  it('does not depend on an instance being named', async () => {
    const { log, error } = await (await coldStart())(eventWith('launching-new', { EC2InstanceId: undefined }));
    expect(error).toBeUndefined();
    expect(log).toMatchObject([{ line: { outcome: 'ignored' } }]);
  });

  it('is any other notification, those of tomorrow too', async () => {
    const { log } = await (await coldStart())(eventWith('termination-notification', { Event: 'autoscaling:NEW_ONE' }));
    expect(sent()).toEqual([]);
    expect(log).toMatchObject([{ line: { outcome: 'ignored' } }]);
  });
});

describe('a message that cannot be understood', () => {
  async function isRefused(refused: SNSEvent, message: string) {
    const { log, error } = await (await coldStart())(refused);
    expect(sent()).toEqual([]);
    expect(error).toMatchObject({ name: 'InvalidMessageError', message });
    expect(log).toEqual([
      {
        level: 'error',
        line: expect.objectContaining({ outcome: 'failed', reason: `InvalidMessageError: ${message}` }),
      },
    ]);
  }

  it.each([
    ['hello', '"hello"; expected a JSON text'],
    ['"'.repeat(24), `${JSON.stringify('"'.repeat(24))}; expected a JSON text`],
    ['"'.repeat(25), `${JSON.stringify('"'.repeat(24))}… (25 characters); expected a JSON text`],
    [undefined, 'absent; expected a JSON text'],
    // JSON.parse would turn it into its text.
    [[JSON.stringify(messageOf(event('terminating')))], 'an array of 1; expected a JSON text'],
    ['', '""; expected a JSON text'],
    ['[]', 'an array of 0; expected a JSON object'],
    ['null', 'null; expected a JSON object'],
    ['true', 'true; expected a JSON object'],
    ['7', '7; expected a JSON object'],
    ['"i-05629ab7d9287e205"', '"i-05629ab7d9287e205"; expected a JSON object'],
  ])('is refused when its text is %j', async (text, complaint) => {
    await isRefused(withText(event('terminating'), text), `Sns.Message is ${complaint}`);
  });

  it('is refused when it is meant for people', async () => {
    await isRefused(
      event('not-json'),
      'Sns.Message is "ALARM: \\"web-cpu-high\\" in"… (41 characters); expected a JSON text',
    );
  });

  it.each([
    ['breaks off', `{"LifecycleActionToken":"${TOKEN}"`, 'a JSON text'],
    ['was turned into JSON twice', JSON.stringify(`{"LifecycleActionToken":"${TOKEN}"}`), 'a JSON object'],
  ])('keeps its token out of the error when it %s', async (_, text, expected) => {
    const { log, error } = await (await coldStart())(withText(event('terminating'), text));
    expect(error).toMatchObject({
      message: expect.stringMatching(
        new RegExp(
          `^Sns\\.Message is "\\{\\\\"LifecycleActionToken\\\\":"… \\(\\d+ characters\\); expected ${expected}$`,
        ),
      ),
    });
    expect(JSON.stringify(log) + error).not.toContain(TOKEN.slice(0, 8));
  });

  it.each(['EC2InstanceId', 'AutoScalingGroupName', 'LifecycleHookName', 'RequestId'])(
    'is not logged when somebody put it into its own %s',
    async (field) => {
      const whole = JSON.stringify(messageOf(event('terminating')));
      const { log, error } = await (await coldStart())(eventWith('terminating', { [field]: whole }));
      expect(JSON.stringify(log) + error).not.toContain(TOKEN.slice(0, 8));
    },
  );

  it.each([
    ['autoscaling:EC2_INSTANCE_TERMINATE', '"autoscaling:EC2_INSTANCE_TERMINATE"'],
    ['autoscaling:EC2_INSTANCE_TERMINATING2', '"autoscaling:EC2_INSTANCE_TERMINATING2"'],
    ['autoscaling:EC2_INSTANCE_LAUNCH', '"autoscaling:EC2_INSTANCE_LAUNCH"'],
    ['autoscaling:EC2_INSTANCE_LAUNCHING ', '"autoscaling:EC2_INSTANCE_LAUNCHING "'],
    ['AUTOSCALING:EC2_INSTANCE_TERMINATING', '"AUTOSCALING:EC2_INSTANCE_TERMINATING"'],
    [['autoscaling:EC2_INSTANCE_TERMINATING'], 'an array of 1'],
    [null, 'null'],
  ])('is refused when its transition is %j, whatever event stands beside it', async (LifecycleTransition, held) => {
    for (const Event of [undefined, 'autoscaling:TEST_NOTIFICATION', 'autoscaling:EC2_INSTANCE_LAUNCH']) {
      await isRefused(
        eventWith('launching-from-warm-pool', { LifecycleTransition, Event }),
        `LifecycleTransition is ${held}; expected autoscaling:EC2_INSTANCE_TERMINATING or autoscaling:EC2_INSTANCE_LAUNCHING`,
      );
    }
  });

  it('is refused when it has neither transition nor event', async () => {
    const neither = 'LifecycleTransition is absent; expected a lifecycle transition, or an Event beside it';
    await isRefused(eventWith('terminating', { LifecycleTransition: undefined }), neither);
  });

  it.each([
    ['s3:TestEvent', '"s3:TestEvent"'],
    ['x autoscaling:A', '"x autoscaling:A"'],
    ['autoscaling:A B', '"autoscaling:A B"'],
    ['autoscaling:', '"autoscaling:"'],
    [['autoscaling:EC2_INSTANCE_TERMINATE'], 'an array of 1'],
    [{}, 'an object'],
    [null, 'null'],
  ])('is refused when its event is %j', async (Event, held) => {
    const expected = "expected autoscaling: and an event's name";
    await isRefused(eventWith('test-notification', { Event }), `Event is ${held}; ${expected}`);
  });

  it.each([
    [undefined, 'absent'],
    [null, 'null'],
    ['', '""'],
    [['i-05629ab7d9287e205'], 'an array of 1'],
    [{}, 'an object'],
    [5629, '5629'],
    ['vol-05629ab7d9287e205', '"vol-05629ab7d9287e205"'],
    ['i-05629ab7d9287e20', '"i-05629ab7d9287e20"'],
    ['i-05629ab7d9287e2055', '"i-05629ab7d9287e2055"'],
    ['i-05629ab7d', '"i-05629ab7d"'],
    ['i-05629ab', '"i-05629ab"'],
    ['i-05629AB7D9287E205', '"i-05629AB7D9287E205"'],
    ['i-05629ab7d9287e20g', '"i-05629ab7d9287e20g"'],
    ['i-05629ab7d9287e205\n', '"i-05629ab7d9287e205\\n"'],
    [' i-05629ab7d9287e205', '" i-05629ab7d9287e205"'],
    ['i-05629ab7d9287e205,i-1b2c3d4e', '"i-05629ab7d9287e205,i-1b2c3d4e"'],
    ['x'.repeat(65), `"${'x'.repeat(64)}"… (65 characters)`],
    ['x'.repeat(64), `"${'x'.repeat(64)}"`],
  ])('is refused when its instance id is %j', async (EC2InstanceId, held) => {
    for (const name of ['terminating', 'launching-from-warm-pool', 'launch-notification-from-warm-pool']) {
      await isRefused(
        eventWith(name, { EC2InstanceId }),
        `EC2InstanceId is ${held}; expected i- and 8 or 17 hexadecimal digits in lower case`,
      );
    }
  });
});

describe('a message from another account', () => {
  it.each(['210987654321', 123456789012, undefined])('is refused: %s', async (AccountId) => {
    for (const name of ['terminating', 'launching-from-warm-pool']) {
      const { log, error } = await (await coldStart())(eventWith(name, { AccountId }));
      expect(sent()).toEqual([]);
      expect(error).toMatchObject({
        name: 'ForeignAccountError',
        message: expect.stringMatching(/^AccountId is .*; expected the function's own account, 123456789012$/),
      });
      expect(log).toMatchObject([{ level: 'error', line: { outcome: 'failed', instanceId: 'i-05629ab7d9287e205' } }]);
    }
  });

  it('is one from any account but that in which the function runs', async () => {
    const arn = 'arn:aws-us-gov:lambda:us-gov-west-1:210987654321:function:remove-from-lb:live';
    const invoke = await coldStart();
    expect(await invoke(event('foreign-account'), { arn })).toMatchObject({ error: undefined });
    expect(await invoke(event('terminating'), { arn })).toMatchObject({ error: { name: 'ForeignAccountError' } });
  });

  it('cannot be recognised when the own account is unknown, so nothing is done', async () => {
    const { error } = await (await coldStart())(event('terminating'), { arn: 'remove-from-lb' });
    expect(sent()).toEqual([]);
    expect(error).toMatchObject({
      name: 'InvalidArnError',
      message: expect.stringContaining('context.invokedFunctionArn is "remove-from-lb"'),
    });
  });
});
