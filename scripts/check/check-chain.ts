import {
  AutoScalingClient,
  type AutoScalingGroup,
  DescribeAutoScalingGroupsCommand,
  DescribeLifecycleHooksCommand,
  DescribeNotificationConfigurationsCommand,
  DescribeWarmPoolCommand,
  type LifecycleHook,
} from '@aws-sdk/client-auto-scaling';
import { CloudFormationClient, DescribeStacksCommand, type Stack } from '@aws-sdk/client-cloudformation';
import { CloudWatchClient, GetMetricDataCommand } from '@aws-sdk/client-cloudwatch';
import { DescribeInstancesCommand, EC2Client } from '@aws-sdk/client-ec2';
import { GetRoleCommand, IAMClient, SimulatePrincipalPolicyCommand } from '@aws-sdk/client-iam';
import { DescribeKeyCommand, KMSClient } from '@aws-sdk/client-kms';
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
import { deploy, propertiesOf } from '../../test/helpers/stack.ts';
import { fakeTerminal } from '../../test/helpers/terminal.ts';
import { main, type Surroundings } from './check.ts';
import type { Link } from './link.ts';

export const TOPIC = 'arn:aws:sns:us-west-2:123456789012:drain-Topic-1';
export const ROLE = 'arn:aws:iam::123456789012:role/drain-HookRole-1';
export const FUNCTION = 'arn:aws:lambda:us-west-2:123456789012:function:drain-Function-1';
export const QUEUE = 'arn:aws:sqs:us-west-2:123456789012:drain-FailureQueue-1';
export const CODE = 'c2hhMjU2';
export const SUBSCRIPTION = `${TOPIC}:5be8a5c0`;

/** What AWS answers, to be changed before the check runs. */
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

export const HOOK: LifecycleHook = {
  LifecycleHookName: 'drain',
  AutoScalingGroupName: 'web',
  LifecycleTransition: 'autoscaling:EC2_INSTANCE_TERMINATING',
  HeartbeatTimeout: 300,
  DefaultResult: 'CONTINUE',
  NotificationTargetARN: TOPIC,
  RoleARN: ROLE,
};

/** A stack named drain, deployed with the template's defaults, and its group web of two instances. */
export function givenHealthyChain(): void {
  vi.stubEnv('AWS_REGION', 'us-west-2');
  vi.stubEnv('AWS_ACCESS_KEY_ID', 'AKIATEST');
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', 'secret');
  for (const client of Object.values(aws)) client.reset();
  givenStack({});
  aws.sns
    .on(GetTopicAttributesCommand, { TopicArn: TOPIC })
    .resolves({ Attributes: { TopicArn: TOPIC, Policy: '{"Statement":[]}' } });
  givenSubscriptions([['lambda', FUNCTION, SUBSCRIPTION]]);
  givenSubscription({});
  aws.lambda
    .on(GetFunctionConfigurationCommand, { FunctionName: 'drain-Function-1' })
    .resolves(functionConfiguration())
    .on(GetPolicyCommand)
    .resolves({ Policy: lambdaPolicy(TOPIC) })
    .on(GetFunctionEventInvokeConfigCommand)
    .resolves({ MaximumEventAgeInSeconds: 300, DestinationConfig: { OnFailure: { Destination: QUEUE } } })
    .on(GetFunctionConcurrencyCommand)
    .resolves({})
    .on(GetAccountSettingsCommand)
    .resolves({ AccountLimit: { ConcurrentExecutions: 1000, UnreservedConcurrentExecutions: 900 } });
  aws.sqs.on(GetQueueAttributesCommand).resolves({
    Attributes: { ApproximateNumberOfMessages: '0', ApproximateNumberOfMessagesNotVisible: '0' },
  });
  aws.cloudWatch.on(GetMetricDataCommand).resolves({
    MetricDataResults: [{ Timestamps: [new Date(Date.now() - 7_200_000)], Values: [3] }],
  });
  givenGroups({ AutoScalingGroupName: 'web' });
  givenHooks('web', HOOK);
  aws.autoScaling.on(DescribeNotificationConfigurationsCommand).resolves({ NotificationConfigurations: [] });
  aws.autoScaling.on(DescribeWarmPoolCommand).resolves({ Instances: [] });
  aws.iam.on(GetRoleCommand).resolves({ Role: roleTrusting('autoscaling.amazonaws.com') });
  aws.iam.on(SimulatePrincipalPolicyCommand).callsFake(({ ActionNames }) => ({
    EvaluationResults: ActionNames.map((EvalActionName: string) => ({ EvalActionName, EvalDecision: 'allowed' })),
  }));
  aws.kms.on(DescribeKeyCommand).resolves({
    KeyMetadata: {
      KeyId: 'key-1',
      Arn: 'arn:aws:kms:us-west-2:123456789012:key/key-1',
      KeyState: 'Enabled',
      KeyManager: 'CUSTOMER',
    },
  });
  givenTagged();
}

export function givenStack(changes: Partial<Stack>, parameters: Record<string, string> = {}): void {
  const given = {
    AutoScalingGroupName: '',
    HeartbeatTimeout: '300',
    TagKey: 'remove_from_lb',
    TagValue: 'yes',
    ...parameters,
  };
  aws.cloudFormation.on(DescribeStacksCommand, { StackName: 'drain' }).resolves({
    Stacks: [
      {
        StackName: 'drain',
        CreationTime: new Date(0),
        StackStatus: 'CREATE_COMPLETE',
        Parameters: Object.entries(given).map(([ParameterKey, ParameterValue]) => ({ ParameterKey, ParameterValue })),
        Outputs: [
          { OutputKey: 'TopicArn', OutputValue: TOPIC },
          { OutputKey: 'HookRoleArn', OutputValue: ROLE },
          { OutputKey: 'FunctionName', OutputValue: 'drain-Function-1' },
          {
            OutputKey: 'FailureQueueUrl',
            OutputValue: 'https://sqs.us-west-2.amazonaws.com/123456789012/drain-FailureQueue-1',
          },
        ],
        ...changes,
      },
    ],
  });
}

export function functionConfiguration(variables: Record<string, string> = {}) {
  return {
    State: 'Active',
    LastUpdateStatus: 'Successful',
    CodeSha256: CODE,
    Environment: { Variables: { TAG_KEY: 'remove_from_lb', TAG_VALUE: 'yes', HEARTBEAT_TIMEOUT: '300', ...variables } },
  } as const;
}

export function lambdaPolicy(sourceArn: string): string {
  return JSON.stringify({
    Statement: [
      {
        Effect: 'Allow',
        Principal: { Service: 'sns.amazonaws.com' },
        Action: 'lambda:InvokeFunction',
        Resource: FUNCTION,
        Condition: { ArnLike: { 'AWS:SourceArn': sourceArn } },
      },
    ],
  });
}

export function givenSubscriptions(...pages: (readonly [protocol: string, endpoint: string, arn: string])[][]): void {
  for (const [index, page] of pages.entries()) {
    aws.sns.on(ListSubscriptionsByTopicCommand, { TopicArn: TOPIC, NextToken: tokenOf(index) }).resolves({
      Subscriptions: page.map(([Protocol, Endpoint, SubscriptionArn]) => ({ Protocol, Endpoint, SubscriptionArn })),
      NextToken: index + 1 < pages.length ? tokenOf(index + 1) : undefined,
    });
  }
}

/** Attributes that are undefined are absent. */
export function givenSubscription(changes: Record<string, string | undefined>): void {
  const attributes = {
    PendingConfirmation: 'false',
    FilterPolicyScope: 'MessageBody',
    FilterPolicy: JSON.stringify(templateFilter()),
    RedrivePolicy: JSON.stringify({ deadLetterTargetArn: QUEUE }),
    ...changes,
  };
  const Attributes = Object.fromEntries(
    Object.entries(attributes).flatMap(([key, value]) => (value ? [[key, value]] : [])),
  );
  aws.sns.on(GetSubscriptionAttributesCommand, { SubscriptionArn: SUBSCRIPTION }).resolves({ Attributes });
}

export function templateFilter(): unknown {
  return propertiesOf<{ FilterPolicy: unknown }>(deploy(), 'Subscription').FilterPolicy;
}

/** One page for each group. */
export function givenGroups(...groups: Partial<AutoScalingGroup>[]): void {
  const described = groups.map((group) => ({
    MinSize: 0,
    MaxSize: 9,
    DesiredCapacity: 2,
    DefaultCooldown: 300,
    AvailabilityZones: [],
    HealthCheckType: 'EC2',
    CreatedTime: new Date(0),
    AutoScalingGroupName: 'web',
    Instances: [inState('i-00000001', 'InService'), inState('i-00000002', 'InService')],
    ...group,
  }));
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

export function givenHooks(group: string, ...hooks: LifecycleHook[]): void {
  aws.autoScaling
    .on(DescribeLifecycleHooksCommand, { AutoScalingGroupName: group })
    .resolves({ LifecycleHooks: hooks });
}

export function inState(InstanceId: string, LifecycleState: string) {
  return {
    InstanceId,
    LifecycleState,
    AvailabilityZone: 'us-west-2a',
    HealthStatus: 'Healthy',
    ProtectedFromScaleIn: false,
  } as { InstanceId: string; LifecycleState: 'InService' } & Record<'AvailabilityZone' | 'HealthStatus', string> & {
      ProtectedFromScaleIn: boolean;
    };
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

export function roleTrusting(service: string) {
  const document = { Statement: [{ Effect: 'Allow', Principal: { Service: service }, Action: 'sts:AssumeRole' }] };
  return {
    Path: '/',
    RoleName: 'drain-HookRole-1',
    RoleId: 'AROA',
    Arn: ROLE,
    CreateDate: new Date(0),
    AssumeRolePolicyDocument: encodeURIComponent(JSON.stringify(document)),
  };
}

/** An error as the SDK throws it. */
export function awsError(name: string, message = name): Error {
  return Object.assign(new Error(message), { name });
}

/** Runs the command; `err` and `out` are the lines that it prints. */
export async function runCheck(args: readonly string[], changes: Partial<Surroundings> = {}, signal?: AbortSignal) {
  const { terminal, printed } = fakeTerminal(signal);
  const surroundings = {
    ask: undefined,
    clock: { now: () => 0, sleep: async () => {} },
    localSha256: async () => CODE,
    ...changes,
  };
  const code = await main(args, process.env, terminal, surroundings);
  return { code, out: linesOf(printed.out), err: linesOf(printed.err) };
}

function linesOf(text: string): string[] {
  return text.split('\n').slice(0, -1);
}

/** The links of `--json`. */
export async function links(...args: string[]): Promise<{ code: number; links: Link[] }> {
  const { code, out } = await runCheck(['--stack', 'drain', '--json', ...args]);
  return { code, links: JSON.parse(out.join('\n')).links };
}

function tokenOf(index: number): string | undefined {
  return index === 0 ? undefined : `page ${index}`;
}
