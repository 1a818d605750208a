import { readdirSync } from 'node:fs';
import { EC2Client } from '@aws-sdk/client-ec2';
import type { SNSEvent } from 'aws-lambda';
import { mockClient } from 'aws-sdk-client-mock';
import { describe, expect, it } from 'vitest';
import { readSettings } from '../src/settings.ts';
import { event, eventWith } from './helpers/event.ts';
import { type FilterPolicy, passes } from './helpers/filter-policy.ts';
import { coldStart } from './helpers/invoke.ts';
import { deploy, ofType, propertiesOf, type Stack, TEMPLATE } from './helpers/stack.ts';

const EXISTING_TOPIC = 'arn:aws:sns:us-west-2:123456789012:existing';
const stack = deploy();

describe("the subscription's filter", () => {
  const { FilterPolicy: filter, FilterPolicyScope } = propertiesOf<{
    FilterPolicy: FilterPolicy;
    FilterPolicyScope: string;
  }>(stack, 'Subscription');
  const messageOf = ({ Records }: SNSEvent) => Records[0]?.Sns.Message ?? '';

  const files = readdirSync(new URL('events', import.meta.url)).map((file) => file.replace(/\.json$/, ''));
  const stored = files.flatMap((name) => (event(name).Records ?? []).map((record) => ({ Records: [record] })));
  const places = [undefined, 'EC2', 'WarmPool', 'AutoScalingGroup', 'Elsewhere'];
  const kinds = ['TERMINATING', 'LAUNCHING', 'TERMINATE', 'LAUNCH', 'LAUNCH_ERROR', 'TERMINATE_ERROR'].flatMap((name) =>
    ['LifecycleTransition', 'Event'].map((field) => ({
      LifecycleTransition: undefined,
      [field]: `autoscaling:EC2_INSTANCE_${name}`,
    })),
  );
  const generated = kinds.flatMap((kind) =>
    places.flatMap((Origin) => places.map((Destination) => eventWith('terminating', { ...kind, Origin, Destination }))),
  );

  it('passes every message that the function acts on', async () => {
    expect(FilterPolicyScope).toBe('MessageBody');
    const ec2 = mockClient(EC2Client);
    const invoke = await coldStart();
    const acted: string[] = [];
    for (const sns of [...stored, ...generated]) {
      ec2.resetHistory();
      // A message from another account must reach the function too, which refuses the message with an error.
      const account = /"AccountId":"(\d+)"/.exec(messageOf(sns))?.[1] ?? '123456789012';
      await invoke(sns, { arn: `arn:aws:lambda:us-west-2:${account}:function:remove-from-lb` });
      if (ec2.calls().length > 0) acted.push(messageOf(sns));
    }
    expect(acted.length).toBeGreaterThan(25);
    expect(acted.filter((message) => !passes(filter, message))).toEqual([]);
  });

  it('stops test messages and every other notification', () => {
    const events = ['LAUNCH_ERROR', 'TERMINATE', 'TERMINATE_ERROR', 'TERMINATING'].map(
      (name) => `autoscaling:EC2_INSTANCE_${name}`,
    );
    const others = events.map((Event) => eventWith('terminating', { LifecycleTransition: undefined, Event }));
    const texts = [event('test-notification'), ...others].map(messageOf);
    expect(texts.filter((message) => passes(filter, message))).toEqual([]);
  });

  it('passes a message without an instance, so that the function reports the error', () => {
    expect(passes(filter, messageOf(eventWith('terminating', { EC2InstanceId: undefined })))).toBe(true);
  });
});

describe.each([
  ['a topic of its own', stack, 'Topic'],
  ['an existing topic', deploy({ TopicArn: EXISTING_TOPIC }), EXISTING_TOPIC],
])('with %s, the way of a message', (_, made: Stack, topic) => {
  it('leads from this topic to the function', () => {
    const subscription = { TopicArn: topic, Protocol: 'lambda', Endpoint: 'Function.Arn' };
    expect(propertiesOf(made, 'Subscription')).toMatchObject(subscription);
    expect(propertiesOf(made, 'TopicPermission')).toEqual({
      FunctionName: 'Function',
      Action: 'lambda:InvokeFunction',
      Principal: 'sns.amazonaws.com',
      SourceArn: topic,
    });
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
  });

  it('starts at hooks that publish to this topic', () => {
    const hooks = { AutoScalingGroupName: 'web', WithLaunchingHook: 'true' };
    const withHooks = deploy({ ...hooks, TopicArn: topic === 'Topic' ? '' : topic });
    for (const hook of Object.values(ofType(withHooks, 'AWS::AutoScaling::LifecycleHook'))) {
      expect(hook).toMatchObject({ NotificationTargetARN: topic, RoleARN: 'HookRole.Arn' });
    }
  });

  it('is in the outputs, for further groups', () => {
    expect(made.outputs.TopicArn).toBe(topic);
    expect(made.outputs.PutLifecycleHookCommand).toContain(` --notification-target-arn ${topic} `);
    expect(made.outputs.PutNotificationConfigurationCommand).toMatch(new RegExp(` --topic-arn ${topic}$`));
  });
});

it('the stack makes a topic only when no topic is given', () => {
  const topics = [stack, deploy({ TopicArn: EXISTING_TOPIC })].map((made) => ofType(made, 'AWS::SNS::Topic'));
  expect(topics).toEqual([{ Topic: {} }, {}]);
});

const { MinValue, Default, MaxValue } = TEMPLATE.Parameters.HeartbeatTimeout ?? {};

it.each([Number(MinValue), Number(Default), Number(MaxValue)])(
  'Lambda and the function give a message up when its hook of %d s has timed out',
  (HeartbeatTimeout) => {
    const made = deploy({ AutoScalingGroupName: 'web', HeartbeatTimeout });
    expect(propertiesOf(made, 'TerminatingHook')).toMatchObject({ HeartbeatTimeout });
    expect(propertiesOf(made, 'EventInvokeConfig')).toMatchObject({ MaximumEventAgeInSeconds: HeartbeatTimeout });
    const { Environment } = propertiesOf<{ Environment: { Variables: Record<string, unknown> } }>(made, 'Function');
    // Lambda gives every value to the function as a text.
    const variables = Object.entries(Environment.Variables).map(([name, value]) => [name, String(value)]);
    expect(readSettings(Object.fromEntries(variables)).maxAgeMs).toBe(HeartbeatTimeout * 1000);
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

  const made = deploy({ AutoScalingGroupName: 'web', WithLaunchingHook: 'true', HeartbeatTimeout: 90 });
  const hooks = ofType<Record<string, unknown>>(made, 'AWS::AutoScaling::LifecycleHook');

  it('are on that group, each for its transition, and continue at the timeout', () => {
    const common = { AutoScalingGroupName: 'web', DefaultResult: 'CONTINUE' };
    expect(hooks).toMatchObject({
      TerminatingHook: { ...common, LifecycleTransition: 'autoscaling:EC2_INSTANCE_TERMINATING' },
      LaunchingHook: { ...common, LifecycleTransition: 'autoscaling:EC2_INSTANCE_LAUNCHING', HeartbeatTimeout: 30 },
    });
  });

  it('have different names, because a second hook of the same name would replace the first', () => {
    const names = Object.values(hooks).map(({ LifecycleHookName }) => LifecycleHookName);
    expect(names).toEqual(['remove-from-lb', 'remove-from-lb-launch']);
  });

  it.each(['TerminatingHook', 'LaunchingHook'])('are put after everything between topic and tag: %s', (hook) => {
    const before = dependenciesOf(made, hook);
    const way = ['HookRole', 'Topic', 'Subscription', 'TopicPermission', 'Function', 'FunctionRole'];
    for (const id of [...way, 'EventInvokeConfig', 'FailureQueue', 'FailureQueuePolicy']) expect(before).toContain(id);
  });

  it('of further groups have the same properties when they are put with the command in the outputs', () => {
    const hook = hooks.TerminatingHook ?? {};
    expect(optionsOf(made.outputs.PutLifecycleHookCommand)).toEqual({
      region: 'us-west-2',
      output: 'text',
      'auto-scaling-group-name': '"$GROUP"',
      'lifecycle-hook-name': hook.LifecycleHookName,
      'lifecycle-transition': hook.LifecycleTransition,
      'heartbeat-timeout': String(hook.HeartbeatTimeout),
      'default-result': hook.DefaultResult,
      'notification-target-arn': hook.NotificationTargetARN,
      'role-arn': hook.RoleARN,
    });
  });

  it('for launches can be replaced: another command turns on launch notifications, which pass the filter', () => {
    const { FilterPolicy: filter } = propertiesOf<{ FilterPolicy: FilterPolicy }>(made, 'Subscription');
    const { 'notification-types': Event, ...others } = optionsOf(made.outputs.PutNotificationConfigurationCommand);
    const group = { 'auto-scaling-group-name': '"$GROUP"', 'topic-arn': 'Topic' };
    expect(others).toEqual({ region: 'us-west-2', output: 'text', ...group });
    expect(passes(filter, JSON.stringify({ Event }))).toBe(true);
  });
});

/** The resources that CloudFormation makes before a resource, because it refers to them directly or indirectly. */
function dependenciesOf({ resources }: Stack, id: string, found = new Set<string>()): Set<string> {
  const { DependsOn = [], Properties } = resources[id] ?? { Properties: {} };
  const references = JSON.stringify(Properties).matchAll(/"(\w+)(?:\.\w+)?"(?!:)/g);
  for (const name of [DependsOn].flat().concat([...references].map(([, name = '']) => name))) {
    if (!(name in resources) || found.has(name)) continue;
    found.add(name);
    dependenciesOf({ resources, outputs: {} }, name, found);
  }
  return found;
}

function optionsOf(command: unknown): Record<string, string> {
  return Object.fromEntries([...String(command).matchAll(/ --(\S+) (\S+)/g)].map(([, name, value]) => [name, value]));
}
