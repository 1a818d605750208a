import {
  AutoScalingClient,
  type AutoScalingGroup,
  DescribeAutoScalingGroupsCommand,
  DescribeInstanceRefreshesCommand,
  DescribeLifecycleHooksCommand,
  DescribeNotificationConfigurationsCommand,
  DescribeWarmPoolCommand,
  type Instance,
  type LifecycleHook,
  type LifecycleState,
} from '@aws-sdk/client-auto-scaling';
import { CloudFormationClient, DescribeStacksCommand, type Stack } from '@aws-sdk/client-cloudformation';
import { CloudWatchClient, GetMetricDataCommand } from '@aws-sdk/client-cloudwatch';
import { DescribeInstancesCommand, EC2Client } from '@aws-sdk/client-ec2';
import { GetRoleCommand, IAMClient, type Role, SimulatePrincipalPolicyCommand } from '@aws-sdk/client-iam';
import { DescribeKeyCommand, GetKeyPolicyCommand, KMSClient } from '@aws-sdk/client-kms';
import {
  GetAccountSettingsCommand,
  GetFunctionConcurrencyCommand,
  GetFunctionConfigurationCommand,
  GetFunctionEventInvokeConfigCommand,
  GetPolicyCommand,
  LambdaClient,
} from '@aws-sdk/client-lambda';
import {
  GetSubscriptionAttributesCommand,
  GetTopicAttributesCommand,
  ListSubscriptionsByTopicCommand,
  SNSClient,
} from '@aws-sdk/client-sns';
import { GetQueueAttributesCommand, SQSClient } from '@aws-sdk/client-sqs';
import { mockClient } from 'aws-sdk-client-mock';
import { vi } from 'vitest';
import { DEFAULT_TAG } from '../../src/settings.ts';
import { deploy, propertiesOf } from '../../test/helpers/stack.ts';
import { fakeTerminal } from '../../test/helpers/terminal.ts';
import { main, type Surroundings } from './check.ts';
import type { Link } from './link.ts';

export const TOPIC = 'arn:aws:sns:us-west-2:123456789012:drain-Topic-1';
export const ROLE = 'arn:aws:iam::123456789012:role/drain-HookRole-1';
export const FUNCTION = 'arn:aws:lambda:us-west-2:123456789012:function:drain-Function-1';
export const QUEUE = 'arn:aws:sqs:us-west-2:123456789012:drain-FailureQueue-1';
export const KEY = 'arn:aws:kms:us-west-2:123456789012:key/key-1';
export const CODE = 'c2hhMjU2';
export const SUBSCRIPTION = `${TOPIC}:5be8a5c0`;
export const TAG_NAME = `${DEFAULT_TAG.key}=${DEFAULT_TAG.value}`;
export const FILTER = JSON.stringify(propertiesOf<{ FilterPolicy: unknown }>(deploy(), 'Subscription').FilterPolicy);

const SERVICE_ROLE =
  'arn:aws:iam::123456789012:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling';

/** The policy of a topic that denies publishing to everybody but a hook role and Auto Scaling's service-linked roles. */
export function topicPolicy(hookRole: string, operator = 'ArnNotLike'): string {
  const Condition = { [operator]: { 'aws:PrincipalArn': [hookRole, SERVICE_ROLE, `${SERVICE_ROLE}_*`] } };
  return policy({ Effect: 'Deny', Principal: '*', Action: 'sns:Publish', Resource: TOPIC, Condition });
}

export const HOOK: LifecycleHook = {
  LifecycleHookName: 'drain',
  AutoScalingGroupName: 'web',
  LifecycleTransition: 'autoscaling:EC2_INSTANCE_TERMINATING',
  HeartbeatTimeout: 300,
  DefaultResult: 'CONTINUE',
  NotificationTargetARN: TOPIC,
  RoleARN: ROLE,
};

export const GROUP = {
  AutoScalingGroupName: 'web',
  Instances: inStates('InService', 'InService'),
} as AutoScalingGroup;

/** The answers of AWS; a test changes them before the check runs. */
export const aws = {
  autoScaling: mockClient(AutoScalingClient),
  cloudFormation: mockClient(CloudFormationClient),
  cloudWatch: mockClient(CloudWatchClient),
  ec2: mockClient(EC2Client),
  iam: mockClient(IAMClient),
  kms: mockClient(KMSClient),
  lambda: mockClient(LambdaClient),
  sns: mockClient(SNSClient),
  sqs: mockClient(SQSClient),
};

/** A stack named drain, deployed with the template's defaults, and the group web with two instances. */
export function givenHealthyChain(): void {
  vi.stubEnv('AWS_REGION', 'us-west-2');
  vi.stubEnv('AWS_ACCESS_KEY_ID', 'AKIATEST');
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'secret');
  for (const client of Object.values(aws)) client.reset();
  givenStack({});
  aws.sns
    .on(GetTopicAttributesCommand, { TopicArn: TOPIC })
    .resolves({ Attributes: { TopicArn: TOPIC, Policy: topicPolicy(ROLE) } })
    .on(ListSubscriptionsByTopicCommand, { TopicArn: TOPIC })
    .resolves({ Subscriptions: [{ Protocol: 'lambda', Endpoint: FUNCTION, SubscriptionArn: SUBSCRIPTION }] })
    .on(GetSubscriptionAttributesCommand, { SubscriptionArn: SUBSCRIPTION })
    .resolves({ Attributes: subscriptionAttributes() });
  aws.lambda
    .on(GetFunctionConfigurationCommand, { FunctionName: 'drain-Function-1' })
    .resolves(functionConfiguration())
    .on(GetPolicyCommand)
    .resolves({ Policy: lambdaPolicy({ ArnLike: { 'AWS:SourceArn': TOPIC } }) })
    .on(GetFunctionEventInvokeConfigCommand)
    .resolves({ MaximumEventAgeInSeconds: 300, DestinationConfig: { OnFailure: { Destination: QUEUE } } })
    .on(GetFunctionConcurrencyCommand)
    .resolves({})
    .on(GetAccountSettingsCommand)
    .resolves({ AccountLimit: { ConcurrentExecutions: 1000, UnreservedConcurrentExecutions: 900 } });
  aws.sqs.on(GetQueueAttributesCommand).resolves({
    Attributes: { ApproximateNumberOfMessages: '0', ApproximateNumberOfMessagesNotVisible: '0' },
  });
  aws.cloudWatch.on(GetMetricDataCommand).resolves({ MetricDataResults: [{ Timestamps: [], Values: [] }] });
  givenGroups(GROUP);
  givenHooks('web', HOOK);
  aws.autoScaling.on(DescribeNotificationConfigurationsCommand).resolves({ NotificationConfigurations: [] });
  aws.autoScaling.on(DescribeInstanceRefreshesCommand).resolves({ InstanceRefreshes: [] });
  aws.autoScaling.on(DescribeWarmPoolCommand).resolves({ Instances: [] });
  aws.iam.on(GetRoleCommand).resolves({ Role: roleTrusting('autoscaling.amazonaws.com') });
  aws.iam.on(SimulatePrincipalPolicyCommand).callsFake(({ ActionNames }) => ({
    EvaluationResults: ActionNames.map((EvalActionName: string) => ({ EvalActionName, EvalDecision: 'allowed' })),
  }));
  aws.kms
    .on(DescribeKeyCommand, { KeyId: 'alias/topic' })
    .resolves({ KeyMetadata: { KeyId: 'key-1', Arn: KEY, KeyState: 'Enabled', KeyManager: 'CUSTOMER' } })
    .on(GetKeyPolicyCommand, { KeyId: 'key-1' })
    .resolves({ Policy: keyPolicy('arn:aws:iam::123456789012:root') });
  givenTagged();
}

export function givenStack(changes: Partial<Stack>, parameters: Record<string, string> = {}): void {
  const given = {
    AutoScalingGroupName: '',
    HeartbeatTimeout: '300',
    TagKey: DEFAULT_TAG.key,
    TagValue: DEFAULT_TAG.value,
    TaggedGroupNames: '',
    ...parameters,
  };
  const outputs = {
    TopicArn: TOPIC,
    HookRoleArn: ROLE,
    FunctionName: 'drain-Function-1',
    FailureQueueUrl: 'https://sqs.us-west-2.amazonaws.com/123456789012/drain-FailureQueue-1',
  };
  const stack = {
    StackName: 'drain',
    CreationTime: new Date(0),
    StackStatus: 'CREATE_COMPLETE' as const,
    Parameters: Object.entries(given).map(([ParameterKey, ParameterValue]) => ({ ParameterKey, ParameterValue })),
    Outputs: Object.entries(outputs).map(([OutputKey, OutputValue]) => ({ OutputKey, OutputValue })),
    ...changes,
  };
  aws.cloudFormation.on(DescribeStacksCommand, { StackName: 'drain' }).resolves({ Stacks: [stack] });
}

/** One page for each group. */
export function givenGroups(...groups: Partial<AutoScalingGroup>[]): void {
  const described = groups.map((group) => ({ ...GROUP, ...group }));
  aws.autoScaling.on(DescribeAutoScalingGroupsCommand).callsFake(({ AutoScalingGroupNames: names, NextToken }) => {
    const asked = described.filter(({ AutoScalingGroupName }) => !names || names.includes(AutoScalingGroupName));
    const index = Number(NextToken ?? 0);
    return {
      AutoScalingGroups: asked.slice(index, index + 1),
      NextToken: index + 1 < asked.length ? String(index + 1) : undefined,
    };
  });
  aws.autoScaling.on(DescribeLifecycleHooksCommand).resolves({ LifecycleHooks: [] });
}

export function givenHooks(AutoScalingGroupName: string, ...LifecycleHooks: LifecycleHook[]): void {
  aws.autoScaling.on(DescribeLifecycleHooksCommand, { AutoScalingGroupName }).resolves({ LifecycleHooks });
}

/** The instances that carry the tag, one page each. */
export function givenTagged(...ids: string[]): void {
  for (let index = 0; index === 0 || index < ids.length; index++) {
    aws.ec2.on(DescribeInstancesCommand, { NextToken: tokenOf(index) }).resolves({
      Reservations: [{ Instances: ids.slice(index, index + 1).map((InstanceId) => ({ InstanceId })) }],
      NextToken: index + 1 < ids.length ? tokenOf(index + 1) : undefined,
    });
  }
}

export function tokenOf(page: number): string | undefined {
  return page === 0 ? undefined : `page ${page}`;
}

export function givenEncryptedTopic(): void {
  aws.sns
    .on(GetTopicAttributesCommand)
    .resolves({ Attributes: { Policy: topicPolicy(ROLE), KmsMasterKeyId: 'alias/topic' } });
}

export function functionConfiguration(variables: Record<string, string> = {}) {
  const Variables = {
    TAG_KEY: DEFAULT_TAG.key,
    TAG_VALUE: DEFAULT_TAG.value,
    HEARTBEAT_TIMEOUT: '300',
    ...variables,
  };
  return { State: 'Active', LastUpdateStatus: 'Successful', CodeSha256: CODE, Environment: { Variables } } as const;
}

/** Attributes that are undefined are absent. */
export function subscriptionAttributes(changes: Record<string, string | undefined> = {}): Record<string, string> {
  const attributes = {
    PendingConfirmation: 'false',
    FilterPolicyScope: 'MessageBody',
    FilterPolicy: FILTER,
    RedrivePolicy: JSON.stringify({ deadLetterTargetArn: QUEUE }),
    ...changes,
  };
  return Object.fromEntries(Object.entries(attributes).flatMap(([key, value]) => (value ? [[key, value]] : [])));
}

/** A policy with one statement. */
export function policy(statement: object): string {
  return JSON.stringify({ Statement: [statement] });
}

export function lambdaPolicy(Condition: object): string {
  const Principal = { Service: 'sns.amazonaws.com' };
  return policy({ Effect: 'Allow', Principal, Action: 'lambda:InvokeFunction', Resource: FUNCTION, Condition });
}

export function keyPolicy(principal: string, changes: object = {}): string {
  return policy({ Effect: 'Allow', Principal: { AWS: principal }, Action: 'kms:*', Resource: '*', ...changes });
}

export function roleTrusting(Service: string, Condition = {}): Role {
  const trust = policy({ Effect: 'Allow', Principal: { Service }, Action: 'sts:AssumeRole', Condition });
  return { AssumeRolePolicyDocument: encodeURIComponent(trust) } as Role;
}

/** Instances i-00000001, i-00000002, … in these states. */
export function inStates(...states: LifecycleState[]): Instance[] {
  return states.map((LifecycleState, index) => ({ InstanceId: `i-0000000${index + 1}`, LifecycleState }) as Instance);
}

/** An error as the SDK throws it. */
export function awsError(name: string, message = name): Error {
  return Object.assign(new Error(message), { name });
}

/** Runs the command; `err` and `out` are the printed lines. */
export async function runCheck(args: readonly string[], changes: Partial<Surroundings> = {}, signal?: AbortSignal) {
  const { terminal, printed } = fakeTerminal(signal);
  const surroundings = {
    ask: undefined,
    clock: { now: () => 0, sleep: async () => {} },
    localSha256: async () => CODE,
    ...changes,
  };
  const code = await main(args, process.env, terminal, surroundings);
  return { code, out: printed.out.split('\n').slice(0, -1), err: printed.err.split('\n').slice(0, -1) };
}

/** The links of `--json`. */
export async function links(...args: string[]): Promise<{ code: number; links: Link[] }> {
  const { code, out } = await runCheck(['--stack', 'drain', '--json', ...args]);
  return { code, links: JSON.parse(out.join('\n')).links };
}
