import { readdirSync } from 'node:fs';
import { EC2Client } from '@aws-sdk/client-ec2';
import type { SNSEvent } from 'aws-lambda';
import { mockClient } from 'aws-sdk-client-mock';
import { describe, expect, it } from 'vitest';
import { requestOf } from '../src/lifecycle-message.ts';
import { readSettings } from '../src/settings.ts';
import { event } from './helpers/event.ts';
import { combinations, comparedKeys, type FilterPolicy, passes } from './helpers/filter-policy.ts';
import { coldStart } from './helpers/invoke.ts';
import { deploy, ofType, propertiesOf, type Stack, TEMPLATE } from './helpers/stack.ts';

const EXISTING_TOPIC = 'arn:aws:sns:us-west-2:123456789012:existing';

const stack = deploy();
const subscription = propertiesOf<{
  TopicArn: string;
  Protocol: string;
  Endpoint: string;
  FilterPolicyScope: string;
  FilterPolicy: FilterPolicy;
  RedrivePolicy: { deadLetterTargetArn: string };
}>(stack, 'Subscription');

describe("the subscription's filter", () => {
  const names = readdirSync(new URL('events', import.meta.url)).map((file) => file.replace(/\.json$/, ''));
  const messages = names.flatMap((name) =>
    event(name).Records.map((record, index) => ({ name: `${name}, record ${index}`, record })),
  );

  it('looks at the message itself', () => {
    expect(subscription.FilterPolicyScope).toBe('MessageBody');
  });

  it('is tried with every event file', () => {
    expect(messages.length).toBeGreaterThan(names.length);
    expect(new Set(messages.map(({ record }) => passes(subscription.FilterPolicy, record.Sns.Message))).size).toBe(2);
  });

  it.each(messages)('lets $name through exactly if the function acts on it', async ({ record }) => {
    expect(passes(subscription.FilterPolicy, record.Sns.Message)).toBe(await actsOn(record));
  });

  const TRANSITIONS = ['TERMINATING', 'LAUNCHING', 'TERMINATE', 'LAUNCH'].map(
    (name) => `autoscaling:EC2_INSTANCE_${name}`,
  );
  const EVENTS = [...TRANSITIONS, 'autoscaling:EC2_INSTANCE_LAUNCH_ERROR', 'autoscaling:TEST_NOTIFICATION'];
  const PLACES = [undefined, 'EC2', 'WarmPool', 'AutoScalingGroup', 'Elsewhere'];
  const kinds = [
    ...TRANSITIONS.map((LifecycleTransition) => ({ LifecycleTransition })),
    ...EVENTS.map((Event) => ({ Event })),
  ];

  it.each(kinds)('agrees with the function on %o from anywhere to anywhere', (kind) => {
    for (const Origin of PLACES) {
      for (const Destination of PLACES) {
        const fields = { ...kind, Origin, Destination, EC2InstanceId: 'i-05629ab7d9287e205' };
        expect(passes(subscription.FilterPolicy, JSON.stringify(fields)), JSON.stringify(fields)).toBe(
          meansSomething(fields),
        );
      }
    }
  });

  it('lets a message through that names no instance, so that the function reports it', () => {
    const text = JSON.stringify({ LifecycleTransition: 'autoscaling:EC2_INSTANCE_TERMINATING' });
    expect(passes(subscription.FilterPolicy, text)).toBe(true);
  });

  it('stays within what SNS takes: five keys, and 150 combinations of values', () => {
    expect(comparedKeys(subscription.FilterPolicy).length).toBeLessThanOrEqual(5);
    expect(combinations(subscription.FilterPolicy)).toBeLessThanOrEqual(150);
  });
});

/**
 * Whether the function calls EC2 for a message, in the account that the message comes from: one from a foreign account has
 * to get through, because it must be refused aloud.
 */
async function actsOn(record: SNSEvent['Records'][number]): Promise<boolean> {
  const ec2 = mockClient(EC2Client);
  const accountId = /"AccountId":"(\d+)"/.exec(record.Sns.Message)?.[1] ?? '123456789012';
  const invoke = await coldStart();
  await invoke({ Records: [record] }, { arn: `arn:aws:lambda:us-west-2:${accountId}:function:remove-from-lb` });
  return ec2.calls().length > 0;
}

function meansSomething(fields: Record<string, unknown>): boolean {
  try {
    return requestOf(fields).action !== 'none';
  } catch {
    return false;
  }
}

describe.each([
  ['a topic of its own', stack, 'Topic'],
  ['an existing topic', deploy({ TopicArn: EXISTING_TOPIC }), EXISTING_TOPIC],
])('with %s, the way of a message', (_, made: Stack, topic) => {
  it('leads from the topic to the function, which lets in this topic only', () => {
    expect(propertiesOf(made, 'Subscription')).toMatchObject({
      TopicArn: topic,
      Protocol: 'lambda',
      Endpoint: 'Function.Arn',
    });
    expect(ofType(made, 'AWS::Lambda::Permission')).toEqual({
      TopicPermission: {
        FunctionName: 'Function',
        Action: 'lambda:InvokeFunction',
        Principal: 'sns.amazonaws.com',
        SourceArn: topic,
      },
    });
  });

  it('ends in the failure queue when SNS cannot deliver it, and when the function fails', () => {
    expect(propertiesOf(made, 'Subscription')).toMatchObject({
      RedrivePolicy: { deadLetterTargetArn: 'FailureQueue.Arn' },
    });
    expect(propertiesOf(made, 'EventInvokeConfig')).toMatchObject({
      FunctionName: 'Function',
      Qualifier: '$LATEST',
      MaximumRetryAttempts: 2,
      DestinationConfig: { OnFailure: { Destination: 'FailureQueue.Arn' } },
    });
  });

  it('starts at hooks that publish to that topic', () => {
    const hooks = { AutoScalingGroupName: 'web', WithLaunchingHook: 'true' };
    const withHooks = deploy({ ...hooks, TopicArn: topic === 'Topic' ? '' : topic });
    for (const hook of Object.values(ofType(withHooks, 'AWS::AutoScaling::LifecycleHook'))) {
      expect(hook).toMatchObject({ NotificationTargetARN: topic, RoleARN: 'HookRole.Arn' });
    }
  });

  it('is in the commands for further groups', () => {
    expect(made.outputs.TopicArn).toBe(topic);
    expect(made.outputs.PutLifecycleHookCommand).toContain(` --notification-target-arn ${topic} `);
    expect(made.outputs.PutNotificationConfigurationCommand).toMatch(new RegExp(` --topic-arn ${topic}$`));
  });
});

it('a topic is made only when none is given, with no key that the publishers could not use', () => {
  expect(ofType(stack, 'AWS::SNS::Topic')).toEqual({ Topic: {} });
  const types = Object.values(deploy({ TopicArn: EXISTING_TOPIC }).resources).map(({ Type }) => Type);
  expect(types.filter((type) => /^AWS::SNS::Topic/.test(type))).toEqual([]);
});

it('the failure queue is encrypted, and keeps messages for as long as SQS can, 14 days', () => {
  expect(propertiesOf(stack, 'FailureQueue')).toEqual({
    SqsManagedSseEnabled: true,
    MessageRetentionPeriod: 14 * 24 * 60 * 60,
  });
});

const { MinValue, Default, MaxValue } = TEMPLATE.Parameters.HeartbeatTimeout ?? {};

it.each([Number(MinValue), Number(Default), Number(MaxValue)])(
  'an event is given up, by Lambda and by the function, when its hook of %d s has timed out',
  (HeartbeatTimeout) => {
    const made = deploy({ AutoScalingGroupName: 'web', HeartbeatTimeout });
    expect(propertiesOf(made, 'TerminatingHook')).toMatchObject({ HeartbeatTimeout });
    expect(propertiesOf(made, 'EventInvokeConfig')).toMatchObject({ MaximumEventAgeInSeconds: HeartbeatTimeout });
    const { Environment } = propertiesOf<{ Environment: { Variables: Record<string, unknown> } }>(made, 'Function');
    // Lambda hands every value on as a text.
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

  const made = deploy({ AutoScalingGroupName: 'web', WithLaunchingHook: 'true' });

  it('are on that group, each with its transition, and go on when the time is over', () => {
    expect(ofType(made, 'AWS::AutoScaling::LifecycleHook')).toMatchObject({
      TerminatingHook: {
        AutoScalingGroupName: 'web',
        LifecycleTransition: 'autoscaling:EC2_INSTANCE_TERMINATING',
        DefaultResult: 'CONTINUE',
      },
      LaunchingHook: {
        AutoScalingGroupName: 'web',
        LifecycleTransition: 'autoscaling:EC2_INSTANCE_LAUNCHING',
        HeartbeatTimeout: 30,
        DefaultResult: 'CONTINUE',
      },
    });
  });

  it('have a name each: Auto Scaling takes a second one of the same name for a change of the first', () => {
    const hooks = ofType<{ LifecycleHookName: string }>(made, 'AWS::AutoScaling::LifecycleHook');
    const names = Object.values(hooks).map(({ LifecycleHookName }) => LifecycleHookName);
    expect(new Set(names).size).toBe(2);
    for (const name of names) expect(name).toContain('remove-from-lb');
  });

  it.each(['TerminatingHook', 'LaunchingHook'])('are put when the way to the tag is complete: %s', (hook) => {
    const before = dependenciesOf(made, hook);
    for (const id of [
      'HookRole',
      'Topic',
      'Subscription',
      'TopicPermission',
      'Function',
      'FunctionRole',
      'EventInvokeConfig',
      'FailureQueue',
      'FailureQueuePolicy',
    ]) {
      expect(before, id).toContain(id);
    }
  });

  it('of further groups are put with the same properties, by the command in the outputs', () => {
    const hook = propertiesOf<Record<string, unknown>>(made, 'TerminatingHook');
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

  it('need not be two: a notification, put by the other command, passes the filter too', () => {
    const { 'notification-types': Event, ...others } = optionsOf(made.outputs.PutNotificationConfigurationCommand);
    expect(others).toEqual({
      region: 'us-west-2',
      output: 'text',
      'auto-scaling-group-name': '"$GROUP"',
      'topic-arn': 'Topic',
    });
    const notification = JSON.stringify({ Event, Origin: 'WarmPool', Destination: 'AutoScalingGroup' });
    expect(passes(subscription.FilterPolicy, notification)).toBe(true);
  });
});

/** Everything that CloudFormation makes before a resource, because it is named there or in what is named there. */
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
