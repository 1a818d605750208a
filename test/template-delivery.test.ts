import type { SNSEvent } from 'aws-lambda';
import { describe, expect, it } from 'vitest';
import { readSettings } from '../src/settings.ts';
import { calls } from './helpers/ec2.ts';
import { event, eventWith } from './helpers/event.ts';
import { invoke } from './helpers/invoke.ts';
import { deploy, ofType, propertiesOf, TEMPLATE } from './helpers/stack.ts';

const EXISTING_TOPIC = 'arn:aws:sns:us-west-2:123456789012:existing';
const stack = deploy();

describe("the subscription's filter", () => {
  const { FilterPolicy, FilterPolicyScope } = propertiesOf<{
    FilterPolicy: { $or: readonly Readonly<Record<string, readonly string[]>>[] };
    FilterPolicyScope: string;
  }>(stack, 'Subscription');

  /** Whether SNS delivers a message: one of the filters finds its values in the message. */
  function passes({ Records }: SNSEvent): boolean {
    const message = JSON.parse(Records[0]?.Sns.Message ?? '');
    return FilterPolicy.$or.some((fields) =>
      Object.entries(fields).every(([name, values]) => values.includes(message[name])),
    );
  }

  it('looks at fields of the message', () => {
    expect(FilterPolicyScope).toBe('MessageBody');
    expect(Object.keys(FilterPolicy)).toEqual(['$or']);
  });

  it.each([
    'terminating',
    'terminating-before-2021',
    'terminating-to-warm-pool',
    'root-volume-replacement-begins',
    'root-volume-replacement-ends',
    'launching-from-warm-pool',
    'launch-notification-from-warm-pool',
  ])('lets a message through that the function acts on: %s', async (name) => {
    await invoke(event(name));
    expect(calls()).toHaveLength(1);
    expect(passes(event(name))).toBe(true);
  });

  it('lets messages through that the function must report', () => {
    expect(passes(eventWith('terminating', { EC2InstanceId: undefined }))).toBe(true);
    expect(passes(event('foreign-account'))).toBe(true);
  });

  it.each(['test-notification', 'launch-error-notification', 'termination-notification', 'eventbridge-in-sns'])(
    'keeps away what the function does not act on: %s',
    (name) => expect(passes(event(name))).toBe(false),
  );
});

describe.each([
  ['a topic of its own', '', 'Topic'],
  ['an existing topic', EXISTING_TOPIC, EXISTING_TOPIC],
])('with %s, the way of a message', (_, TopicArn, topic) => {
  const made = deploy({ TopicArn, AutoScalingGroupName: 'web', WithLaunchingHook: 'true' });

  it('leads from the hooks over this topic to the function', () => {
    const hooks = Object.values(ofType(made, 'AWS::AutoScaling::LifecycleHook'));
    const publishes = { NotificationTargetARN: topic, RoleARN: 'HookRole.Arn' };
    expect(hooks).toMatchObject([publishes, publishes]);
    const subscription = { TopicArn: topic, Protocol: 'lambda', Endpoint: 'Function.Arn' };
    expect(propertiesOf(made, 'Subscription')).toMatchObject(subscription);
    expect(propertiesOf(made, 'TopicPermission')).toEqual({
      FunctionName: 'Function',
      Action: 'lambda:InvokeFunction',
      Principal: 'sns.amazonaws.com',
      SourceArn: topic,
    });
    expect(ofType(made, 'AWS::SNS::Topic')).toEqual(TopicArn ? {} : { Topic: {} });
  });

  it('ends in the failure queue when SNS cannot deliver the message, and when the function fails', () => {
    const RedrivePolicy = { deadLetterTargetArn: 'FailureQueue.Arn' };
    expect(propertiesOf(made, 'Subscription')).toMatchObject({ RedrivePolicy });
    expect(propertiesOf(made, 'EventInvokeConfig')).toMatchObject({
      FunctionName: 'Function',
      Qualifier: '$LATEST',
      MaximumRetryAttempts: 2,
      DestinationConfig: { OnFailure: { Destination: 'FailureQueue.Arn' } },
    });
    const fourteenDays = 14 * 86_400;
    expect(propertiesOf(made, 'FailureQueue')).toEqual({
      MessageRetentionPeriod: fourteenDays,
      SqsManagedSseEnabled: true,
    });
  });

  it('is in the outputs, for further groups', () => {
    const hook = propertiesOf<Record<string, unknown>>(made, 'TerminatingHook');
    expect(made.outputs).toMatchObject({
      TopicArn: hook.NotificationTargetARN,
      HookRoleArn: hook.RoleARN,
      HeartbeatTimeout: hook.HeartbeatTimeout,
    });
  });
});

const { MinValue, Default, MaxValue } = TEMPLATE.Parameters.HeartbeatTimeout ?? {};

it.each([Number(MinValue), Number(Default), Number(MaxValue)])(
  'Lambda and the function give a message up when its hook of %d s has timed out',
  (HeartbeatTimeout) => {
    const made = deploy({ AutoScalingGroupName: 'web', HeartbeatTimeout });
    expect(propertiesOf(made, 'TerminatingHook')).toMatchObject({ HeartbeatTimeout });
    expect(propertiesOf(made, 'EventInvokeConfig')).toMatchObject({ MaximumEventAgeInSeconds: HeartbeatTimeout });
    const { Environment } = propertiesOf<{ Environment: { Variables: Record<string, unknown> } }>(made, 'Function');
    // Lambda hands every value on as a text.
    const variables = { HEARTBEAT_TIMEOUT: String(Environment.Variables.HEARTBEAT_TIMEOUT) };
    expect(readSettings(variables).maxAgeMs).toBe(HeartbeatTimeout * 1000);
  },
);

describe('the hooks', () => {
  it.each([
    [{}, []],
    [{ WithLaunchingHook: 'true' }, []],
    [{ AutoScalingGroupName: 'web' }, ['TerminatingHook']],
    [{ AutoScalingGroupName: 'web', WithLaunchingHook: 'true' }, ['TerminatingHook', 'LaunchingHook']],
  ])('made with %o are %o', (parameters, hooks) => {
    expect(Object.keys(ofType(deploy(parameters), 'AWS::AutoScaling::LifecycleHook'))).toEqual(hooks);
  });

  const made = deploy({ AutoScalingGroupName: 'web', WithLaunchingHook: 'true' });

  it('are on that group, each for its transition, and continue at the timeout', () => {
    const common = { AutoScalingGroupName: 'web', DefaultResult: 'CONTINUE' };
    // A second hook of the same name would replace the first.
    expect(ofType(made, 'AWS::AutoScaling::LifecycleHook')).toMatchObject({
      TerminatingHook: {
        ...common,
        LifecycleHookName: 'remove-from-lb',
        LifecycleTransition: 'autoscaling:EC2_INSTANCE_TERMINATING',
      },
      LaunchingHook: {
        ...common,
        LifecycleHookName: 'remove-from-lb-launch',
        LifecycleTransition: 'autoscaling:EC2_INSTANCE_LAUNCHING',
        HeartbeatTimeout: 30,
      },
    });
  });

  it('are put last: Auto Scaling publishes at once, and no reference leads to the rest of the way', () => {
    const DependsOn = ['TopicPermission', 'Subscription', 'EventInvokeConfig'];
    expect(made.resources).toMatchObject({
      TerminatingHook: { DependsOn },
      LaunchingHook: { DependsOn },
      Subscription: { DependsOn: 'FailureQueuePolicy' },
      // DependsOn cannot name a resource that has a condition, so a reference makes the order.
      TopicPermission: { Metadata: { DependsOn: 'TopicPolicy' } },
    });
    const others = deploy({ TopicArn: EXISTING_TOPIC });
    expect(JSON.stringify(others.resources)).not.toContain('TopicPolicy');
  });
});
