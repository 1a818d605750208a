import { CreateTagsCommand, DeleteTagsCommand, EC2Client } from '@aws-sdk/client-ec2';
import { mockClient } from 'aws-sdk-client-mock';
import { beforeEach, describe, expect, it } from 'vitest';
import { event, eventWith, withText } from './event.ts';
import { coldStart } from './invoke.ts';

const ec2 = mockClient(EC2Client);

beforeEach(() => {
  ec2.reset();
  ec2.on(CreateTagsCommand).resolves({}).on(DeleteTagsCommand).resolves({});
});

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

  it('is told by its root volume replacement in a launch notification too', async () => {
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
  const terminating = event('terminating');
  it.each([
    ['no JSON', event('not-json'), 'Sns.Message is "ALARM: \\"web-cpu-high\\" in…"; expected a JSON text'],
    ['a short text', withText(terminating, 'hello'), 'Sns.Message is "hello"; expected a JSON text'],
    ['no text', withText(terminating, undefined), 'Sns.Message is absent; expected a JSON text'],
    ['an array', withText(terminating, '[]'), 'Sns.Message is an array of 0; expected a JSON object'],
    ['null', withText(terminating, 'null'), 'Sns.Message is null; expected a JSON object'],
    [
      'a string',
      withText(terminating, '"i-05629ab7d9287e205"'),
      'Sns.Message is "i-05629ab7d9287e205"; expected a JSON object',
    ],
    ['a number', withText(terminating, '7'), 'Sns.Message is 7; expected a JSON object'],
    ['an empty object', withText(terminating, '{}'), 'LifecycleTransition is absent'],
    [
      'a transition cut short',
      transition('autoscaling:EC2_INSTANCE_TERMINATE'),
      'LifecycleTransition is "autoscaling:EC2_INSTANCE_TERMINATE"',
    ],
    [
      'a transition with more behind it',
      transition('autoscaling:EC2_INSTANCE_TERMINATING2'),
      'LifecycleTransition is "autoscaling:EC2_INSTANCE_TERMINATING2"',
    ],
    [
      'a launching transition cut short',
      transition('autoscaling:EC2_INSTANCE_LAUNCH'),
      'LifecycleTransition is "autoscaling:EC2_INSTANCE_LAUNCH"',
    ],
    [
      'a transition in other letters',
      transition('AUTOSCALING:EC2_INSTANCE_TERMINATING'),
      'LifecycleTransition is "AUTOSCALING:',
    ],
    ['a transition of null', transition(null), 'LifecycleTransition is null'],
    [
      'a transition in an array',
      transition(['autoscaling:EC2_INSTANCE_TERMINATING']),
      'LifecycleTransition is an array of 1',
    ],
    ["another service's event", eventWith('test-notification', { Event: 's3:TestEvent' }), 'Event is "s3:TestEvent"'],
    [
      'an event that only contains the prefix',
      eventWith('test-notification', { Event: 'x autoscaling:A' }),
      'Event is "x autoscaling:A"',
    ],
    [
      'an event with more than a name',
      eventWith('test-notification', { Event: 'autoscaling:A B' }),
      'Event is "autoscaling:A B"',
    ],
    ['an event of null', eventWith('test-notification', { Event: null }), 'Event is null'],
    ['an object as event', eventWith('test-notification', { Event: {} }), 'Event is an object'],
  ])('is refused: %s', async (_, refused, reason) => {
    const { log, error } = await (await coldStart())(refused);
    expect(sent()).toEqual([]);
    expect(error).toMatchObject({ name: 'InvalidMessageError', message: expect.stringContaining(reason) });
    expect(log).toEqual([{ level: 'error', line: expect.objectContaining({ outcome: 'failed', reason: `${error}` }) }]);
  });

  function transition(LifecycleTransition: unknown) {
    return eventWith('terminating', { LifecycleTransition });
  }

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
    ['x'.repeat(64), `"${'x'.repeat(64)}";`],
  ])('is refused when the instance id is %j', async (EC2InstanceId, held) => {
    for (const name of ['terminating', 'launching-from-warm-pool', 'launch-notification-from-warm-pool']) {
      const { log, error } = await (await coldStart())(eventWith(name, { EC2InstanceId }));
      expect(sent()).toEqual([]);
      expect(error).toMatchObject({
        name: 'InvalidMessageError',
        message: expect.stringContaining(`EC2InstanceId is ${held}`),
      });
      expect(log).toMatchObject([{ level: 'error', line: { outcome: 'failed' } }]);
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

  it('is told by the account in which the function runs', async () => {
    const arn = 'arn:aws-us-gov:lambda:us-gov-west-1:210987654321:function:remove-from-lb:live';
    const invoke = await coldStart();
    expect(await invoke(event('foreign-account'), { arn })).toMatchObject({ error: undefined });
    expect(await invoke(event('terminating'), { arn })).toMatchObject({ error: { name: 'ForeignAccountError' } });
  });

  it('cannot be told without knowing the own account', async () => {
    const { error } = await (await coldStart())(event('terminating'), { arn: 'remove-from-lb' });
    expect(sent()).toEqual([]);
    expect(error).toMatchObject({
      name: 'InvalidArnError',
      message: expect.stringContaining('context.invokedFunctionArn is "remove-from-lb"'),
    });
  });
});
