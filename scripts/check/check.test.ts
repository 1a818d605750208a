import { execFileSync } from 'node:child_process';
import {
  DescribeAutoScalingGroupsCommand,
  DescribeNotificationConfigurationsCommand,
  DescribeWarmPoolCommand,
} from '@aws-sdk/client-auto-scaling';
import { DescribeStacksCommand } from '@aws-sdk/client-cloudformation';
import { GetMetricDataCommand } from '@aws-sdk/client-cloudwatch';
import { DescribeInstancesCommand } from '@aws-sdk/client-ec2';
import { GetRoleCommand, SimulatePrincipalPolicyCommand } from '@aws-sdk/client-iam';
import { DescribeKeyCommand } from '@aws-sdk/client-kms';
import {
  GetAccountSettingsCommand,
  GetFunctionConcurrencyCommand,
  GetFunctionConfigurationCommand,
  GetFunctionEventInvokeConfigCommand,
  GetPolicyCommand,
} from '@aws-sdk/client-lambda';
import { GetSubscriptionAttributesCommand, GetTopicAttributesCommand } from '@aws-sdk/client-sns';
import { GetQueueAttributesCommand } from '@aws-sdk/client-sqs';
import { beforeEach, describe, expect, test, vi } from 'vitest';
import { fakeTerminal } from '../../test/helpers/terminal.ts';
import { main } from './check.ts';
import {
  aws,
  awsError,
  FUNCTION,
  functionConfiguration,
  givenGroups,
  givenHealthyChain,
  givenHooks,
  givenStack,
  givenSubscription,
  givenSubscriptions,
  givenTagged,
  HOOK,
  inState,
  lambdaPolicy,
  links,
  QUEUE,
  ROLE,
  roleTrusting,
  runCheck,
  SUBSCRIPTION,
  TOPIC,
  templateFilter,
} from './check-chain.ts';

beforeEach(givenHealthyChain);

const STACK = ['--stack', 'drain'];

const WARM_POOL = { WarmPoolConfiguration: { InstanceReusePolicy: { ReuseOnScaleIn: true } } };

describe('a healthy chain', () => {
  test('every link is ok, and nothing is to be mended', async () => {
    const { code, links: found } = await links();
    expect(code).toBe(0);
    expect(found.map(({ link, group, state, mend }) => [link, group, state, mend])).toEqual(
      [
        ['stack', null],
        ['topic', null],
        ['subscription', null],
        ['subscription filter', null],
        ['subscription redrive', null],
        ['function', null],
        ['function settings', null],
        ['function code', null],
        ['function permission', null],
        ['function events', null],
        ['failure queue', null],
        ['last tagged', null],
        ['groups', null],
        ['terminating hook', 'web'],
        ['hook role', 'web'],
        ['publish to topic', 'web'],
        ['waiting time', 'web'],
        ['return to service', 'web'],
        ['concurrency', 'web'],
        ['in service', 'web'],
        ['waiting to leave', 'web'],
      ].map((names) => [...names, 'ok', null]),
    );
    expect(found.find(({ link }) => link === 'last tagged')?.found).toMatch(/^2 hours ago/);
  });

  test('has these fields in its JSON, and no others', async () => {
    const { out } = await runCheck(['--stack', 'drain', '--json']);
    const parsed = JSON.parse(out.join('\n'));
    expect(Object.keys(parsed)).toEqual(['links']);
    for (const link of parsed.links) expect(Object.keys(link)).toEqual(['link', 'group', 'state', 'found', 'mend']);
  });

  test('is read, and never changed', async () => {
    givenEverything();
    await links();
    const names = Object.values(aws).flatMap((client) =>
      client.calls().map(({ args: [command] }) => command.constructor.name),
    );
    expect(new Set(names).size).toBeGreaterThanOrEqual(19);
    expect(names.filter((name) => !/^(Describe|Get|List|Simulate)/.test(name))).toEqual([]);
  });
});

/** One answer changed, the link that it breaks, and how to fix it. */
const BROKEN: readonly {
  readonly title: string;
  readonly given: () => void;
  readonly link: string;
  readonly group?: string;
  readonly found: string;
  readonly mend: string;
}[] = [
  {
    title: 'a stack that could not be updated nor taken back',
    given: () => givenStack({ StackStatus: 'UPDATE_ROLLBACK_FAILED', StackStatusReason: 'no right' }),
    link: 'stack',
    found: 'UPDATE_ROLLBACK_FAILED (no right)',
    mend: 'aws cloudformation continue-update-rollback --region us-west-2 --stack-name drain',
  },
  {
    title: 'a stack that was made from another template',
    given: () => givenStack({ Outputs: [{ OutputKey: 'TopicArn', OutputValue: TOPIC }] }),
    link: 'stack',
    found: 'without the outputs HookRoleArn, FunctionName, FailureQueueUrl',
    mend: 'give the right --stack; if this is the one, delete it and deploy it again',
  },
  {
    title: 'a topic that is gone',
    given: () => aws.sns.on(GetTopicAttributesCommand).rejects(awsError('NotFoundException')),
    link: 'topic',
    found: 'is not there',
    mend: 'aws sns create-topic --region us-west-2 --name drain-Topic-1',
  },
  {
    title: "the topic's key, disabled",
    given: () => givenKey({ KeyState: 'Disabled' }),
    link: 'topic key',
    found: 'key-1 is Disabled',
    mend: 'aws kms enable-key --region us-west-2 --key-id key-1',
  },
  {
    title: "the topic's key, to be deleted",
    given: () => givenKey({ KeyState: 'PendingDeletion' }),
    link: 'topic key',
    found: 'key-1 is PendingDeletion',
    mend: 'aws kms cancel-key-deletion --region us-west-2 --key-id key-1 && aws kms enable-key',
  },
  {
    title: "the topic's key, gone",
    given: () => {
      givenKey({});
      aws.kms.on(DescribeKeyCommand).rejects(awsError('NotFoundException'));
    },
    link: 'topic key',
    found: 'key alias/topic is not there',
    mend: "--attribute-name KmsMasterKeyId --attribute-value ''",
  },
  {
    title: 'the subscription, gone',
    given: () =>
      givenSubscriptions([
        ['sqs', QUEUE, `${TOPIC}:1`],
        ['lambda', `${FUNCTION}-2`, `${TOPIC}:2`],
      ]),
    link: 'subscription',
    found: `drain-Function-1 is not subscribed to ${TOPIC}`,
    mend: `aws sns subscribe --region us-west-2 --topic-arn ${TOPIC} --protocol lambda --notification-endpoint ${FUNCTION} --attributes '{"FilterPolicyScope":"MessageBody","FilterPolicy":`,
  },
  {
    title: 'the subscription, listed as not confirmed',
    given: () => givenSubscriptions([['lambda', FUNCTION, 'PendingConfirmation']]),
    link: 'subscription',
    found: 'not confirmed',
    mend: 'aws sns subscribe',
  },
  {
    title: 'the subscription, not confirmed by its attributes',
    given: () => givenSubscription({ PendingConfirmation: 'true' }),
    link: 'subscription',
    found: 'not confirmed',
    mend: 'aws sns subscribe',
  },
  {
    title: 'a filter other than the template has',
    given: () => givenSubscription({ FilterPolicy: '{"LifecycleTransition":["autoscaling:EC2_INSTANCE_LAUNCHING"]}' }),
    link: 'subscription filter',
    found: "is not the template's",
    mend: `--subscription-arn ${SUBSCRIPTION} --attribute-name FilterPolicy --attribute-value '{"$or":`,
  },
  {
    title: 'a filter on the attributes, not the body',
    given: () => givenSubscription({ FilterPolicyScope: undefined }),
    link: 'subscription filter',
    found: 'it reads MessageAttributes',
    mend: '--attribute-name FilterPolicyScope --attribute-value MessageBody && aws sns set-subscription-attributes',
  },
  {
    title: 'no filter',
    given: () => givenSubscription({ FilterPolicy: undefined, FilterPolicyScope: undefined }),
    link: 'subscription filter',
    found: 'no filter',
    mend: '--attribute-name FilterPolicy ',
  },
  {
    title: 'no redrive policy',
    given: () => givenSubscription({ RedrivePolicy: undefined }),
    link: 'subscription redrive',
    found: 'none: a message that SNS cannot hand to the function is lost unseen',
    mend: `--attribute-name RedrivePolicy --attribute-value '{"deadLetterTargetArn":"${QUEUE}"}'`,
  },
  {
    title: 'a redrive policy to another queue',
    given: () => givenSubscription({ RedrivePolicy: JSON.stringify({ deadLetterTargetArn: `${QUEUE}-2` }) }),
    link: 'subscription redrive',
    found: `to ${QUEUE}-2, not to the failure queue`,
    mend: '--attribute-name RedrivePolicy',
  },
  {
    title: 'the function, gone',
    given: () => aws.lambda.on(GetFunctionConfigurationCommand).rejects(awsError('ResourceNotFoundException')),
    link: 'function',
    found: 'drain-Function-1 is not there',
    mend: 'deleted outside CloudFormation: delete the stack and deploy it again',
  },
  {
    title: 'a function that failed to start',
    given: () => givenFunction({ State: 'Failed', StateReason: 'no network' }),
    link: 'function',
    found: 'Failed, last update Successful (no network): the next scale-in may set no tag',
    mend: 'npm run bundle',
  },
  {
    title: 'a function whose last update failed',
    given: () => givenFunction({ LastUpdateStatus: 'Failed', LastUpdateStatusReason: 'no role' }),
    link: 'function',
    found: 'Active, last update Failed (no role): the function runs as it was before',
    mend: 'npm run bundle',
  },
  {
    title: 'a function with a setting that it refuses',
    given: () => givenFunction(functionConfiguration({ HEARTBEAT_TIMEOUT: 'long' })),
    link: 'function settings',
    found: 'HEARTBEAT_TIMEOUT is "long"',
    mend: 'aws lambda update-function-configuration --region us-west-2 --function-name drain-Function-1 --environment \'{"Variables":{"TAG_KEY":"remove_from_lb","TAG_VALUE":"yes","HEARTBEAT_TIMEOUT":"300"}}\'',
  },
  {
    title: 'code other than this checkout bundles',
    given: () => givenFunction({ CodeSha256: 'b3RoZXI=' }),
    link: 'function code',
    found: 'CodeSha256 b3RoZXI=; this checkout bundles to ',
    mend: 'npm run bundle',
  },
  {
    title: 'a function that nobody may call',
    given: () => aws.lambda.on(GetPolicyCommand).rejects(awsError('ResourceNotFoundException')),
    link: 'function permission',
    found: 'the topic may not call the function',
    mend: `aws lambda add-permission --region us-west-2 --function-name drain-Function-1 --statement-id invoke-from-topic --action lambda:InvokeFunction --principal sns.amazonaws.com --source-arn ${TOPIC}`,
  },
  {
    title: 'a function that another topic may call',
    given: () => aws.lambda.on(GetPolicyCommand).resolves({ Policy: lambdaPolicy(`${TOPIC}-2`) }),
    link: 'function permission',
    found: 'the topic may not call the function',
    mend: 'aws lambda add-permission',
  },
  {
    title: 'events that are given up go nowhere',
    given: () => aws.lambda.on(GetFunctionEventInvokeConfigCommand).resolves({ MaximumEventAgeInSeconds: 300 }),
    link: 'function events',
    found: 'for up to 300 s, then nowhere',
    mend: `aws lambda put-function-event-invoke-config --region us-west-2 --function-name drain-Function-1 --maximum-event-age-in-seconds 300 --maximum-retry-attempts 2 --destination-config '{"OnFailure":{"Destination":"${QUEUE}"}}'`,
  },
  {
    title: 'events that are given up go elsewhere',
    given: () =>
      aws.lambda
        .on(GetFunctionEventInvokeConfigCommand)
        .resolves({ MaximumEventAgeInSeconds: 300, DestinationConfig: { OnFailure: { Destination: `${QUEUE}-2` } } }),
    link: 'function events',
    found: `for up to 300 s, then to ${QUEUE}-2, not to the failure queue`,
    mend: 'aws lambda put-function-event-invoke-config',
  },
  {
    title: 'the configuration of events, gone',
    given: () => aws.lambda.on(GetFunctionEventInvokeConfigCommand).rejects(awsError('ResourceNotFoundException')),
    link: 'function events',
    found: 'for up to 21600 s, then nowhere',
    mend: 'aws lambda put-function-event-invoke-config',
  },
  {
    title: 'messages in the failure queue',
    given: () => {
      givenQueue({ ApproximateNumberOfMessages: '2' });
      aws.cloudWatch
        .on(GetMetricDataCommand)
        .callsFake(({ MetricDataQueries: [query] }) =>
          query.MetricStat.Metric.MetricName === 'ApproximateAgeOfOldestMessage' &&
          query.MetricStat.Metric.Dimensions[0].Value === 'drain-FailureQueue-1'
            ? { MetricDataResults: [{ Timestamps: [new Date()], Values: [640] }] }
            : {},
        );
    },
    link: 'failure queue',
    found: '2 messages were given up, the oldest 640 s old',
    mend: 'aws sqs receive-message --region us-west-2 --queue-url https://sqs.us-west-2.amazonaws.com/123456789012/drain-FailureQueue-1',
  },
  {
    title: 'a message in the failure queue that somebody is reading',
    given: () => givenQueue({ ApproximateNumberOfMessagesNotVisible: '1' }),
    link: 'failure queue',
    found: '1 messages were given up',
    mend: 'aws sqs receive-message',
  },
  {
    title: 'the failure queue, gone',
    given: () => aws.sqs.on(GetQueueAttributesCommand).rejects(awsError('QueueDoesNotExist')),
    link: 'failure queue',
    found: 'is not there',
    mend: 'aws sqs create-queue --region us-west-2 --queue-name drain-FailureQueue-1',
  },
  {
    title: 'no group with a hook to the topic',
    given: () => givenGroups({ AutoScalingGroupName: 'web' }, { AutoScalingGroupName: 'batch' }),
    link: 'groups',
    found: 'no group has a hook to the topic (web, batch)',
    mend: `--role-arn ${ROLE} --auto-scaling-group-name "\${GROUP:?name of the group}"`,
  },
  {
    title: "the stack's own group, recreated without its hook",
    given: () => {
      givenStack({}, { AutoScalingGroupName: 'web' });
      givenHooks('web');
    },
    link: 'terminating hook',
    group: 'web',
    found: 'none to the topic: the next scale-in sets no tag',
    mend: `aws autoscaling put-lifecycle-hook --region us-west-2 --lifecycle-hook-name drain --lifecycle-transition autoscaling:EC2_INSTANCE_TERMINATING --heartbeat-timeout 300 --default-result CONTINUE --notification-target-arn ${TOPIC} --role-arn ${ROLE} --auto-scaling-group-name web`,
  },
  {
    title: "the stack's own group, gone",
    given: () => givenStack({}, { AutoScalingGroupName: 'shop' }),
    link: 'group',
    group: 'shop',
    found: 'us-west-2 has no group shop',
    mend: 'aws autoscaling put-lifecycle-hook',
  },
  {
    title: 'a launching hook to the topic and no terminating one, which goes elsewhere',
    given: () =>
      givenHooks(
        'web',
        { ...HOOK, LifecycleTransition: 'autoscaling:EC2_INSTANCE_LAUNCHING' },
        { ...HOOK, LifecycleHookName: 'old', NotificationTargetARN: `${TOPIC}-2` },
      ),
    link: 'terminating hook',
    group: 'web',
    found: `none to the topic, only old to ${TOPIC}-2`,
    mend: 'aws autoscaling put-lifecycle-hook',
  },
  {
    title: 'a hook that has no role',
    given: () => givenHooks('web', { ...HOOK, RoleARN: undefined }),
    link: 'terminating hook',
    group: 'web',
    found: 'without a role',
    mend: `--role-arn ${ROLE} --auto-scaling-group-name web`,
  },
  {
    title: 'a hook that ends with ABANDON',
    given: () =>
      givenHooks('web', { ...HOOK, LifecycleHookName: 'own', HeartbeatTimeout: 200, DefaultResult: 'ABANDON' }),
    link: 'terminating hook',
    group: 'web',
    found: 'own, heartbeat timeout 200 s, default result ABANDON',
    mend: '--lifecycle-hook-name own --lifecycle-transition autoscaling:EC2_INSTANCE_TERMINATING --heartbeat-timeout 200 --default-result CONTINUE',
  },
  {
    title: 'another hook that abandons the wait before it is over',
    given: () =>
      givenHooks('web', HOOK, {
        LifecycleHookName: 'logs',
        LifecycleTransition: 'autoscaling:EC2_INSTANCE_TERMINATING',
        HeartbeatTimeout: 60,
        DefaultResult: 'ABANDON',
        NotificationMetadata: "it's ours",
      }),
    link: 'other terminating hook',
    group: 'web',
    found: "the next scale-in's wait ends too, after 60 of 300 s",
    mend: "--lifecycle-hook-name logs --lifecycle-transition autoscaling:EC2_INSTANCE_TERMINATING --heartbeat-timeout 60 --default-result CONTINUE --notification-metadata 'it'\\''s ours' --auto-scaling-group-name web",
  },
  {
    title: 'a role that Auto Scaling may not assume',
    given: () => aws.iam.on(GetRoleCommand).resolves({ Role: roleTrusting('lambda.amazonaws.com') }),
    link: 'hook role',
    group: 'web',
    found: 'Auto Scaling may not assume drain-HookRole-1',
    mend: 'aws iam update-assume-role-policy --region us-west-2 --role-name drain-HookRole-1 --policy-document ',
  },
  {
    title: 'a role that is gone',
    given: () => aws.iam.on(GetRoleCommand).rejects(awsError('NoSuchEntityException')),
    link: 'hook role',
    group: 'web',
    found: `${ROLE} is not there`,
    mend: 'deleted outside CloudFormation: delete the stack and deploy it again',
  },
  {
    title: "a hook that names another role than the stack's, which does not exist",
    given: () => {
      givenHooks('web', { ...HOOK, LifecycleHookName: 'own', RoleARN: `${ROLE}-x` });
      aws.iam.on(GetRoleCommand, { RoleName: 'drain-HookRole-1-x' }).rejects(awsError('NoSuchEntityException'));
    },
    link: 'hook role',
    group: 'web',
    found: `${ROLE}-x is not there`,
    mend: `aws autoscaling put-lifecycle-hook --region us-west-2 --lifecycle-hook-name own --lifecycle-transition autoscaling:EC2_INSTANCE_TERMINATING --heartbeat-timeout 300 --default-result CONTINUE --notification-target-arn ${TOPIC} --role-arn ${ROLE} --auto-scaling-group-name web`,
  },
  {
    title: 'a role that may not publish to the topic',
    given: () => givenDecision('sns:Publish', 'implicitDeny'),
    link: 'publish to topic',
    group: 'web',
    found: `drain-HookRole-1 may not: sns:Publish implicitDeny on ${TOPIC}`,
    mend: `aws iam put-role-policy --region us-west-2 --role-name drain-HookRole-1 --policy-name publish-lifecycle-messages --policy-document '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["sns:Publish"],"Resource":"${TOPIC}"}]}'`,
  },
  {
    title: 'a role that is denied to publish',
    given: () => givenDecision('sns:Publish', 'explicitDeny'),
    link: 'publish to topic',
    group: 'web',
    found: 'sns:Publish explicitDeny',
    mend: `aws iam simulate-principal-policy --region us-west-2 --policy-source-arn ${ROLE} --action-names sns:Publish`,
  },
  {
    title: "a role that may not use the topic's key",
    given: () => {
      givenKey({});
      givenDecision('kms:Decrypt', 'implicitDeny');
    },
    link: 'use of topic key',
    group: 'web',
    found: 'drain-HookRole-1 may not: kms:Decrypt implicitDeny on arn:aws:kms:us-west-2:123456789012:key/key-1',
    mend: '"Action":["kms:GenerateDataKey*","kms:Decrypt"],"Resource":"arn:aws:kms:us-west-2:123456789012:key/key-1"',
  },
  {
    title: 'a hook that waits longer than the function believes',
    given: () => {
      givenHooks('web', { ...HOOK, HeartbeatTimeout: 900 });
      aws.lambda
        .on(GetFunctionEventInvokeConfigCommand)
        .resolves({ MaximumEventAgeInSeconds: 900, DestinationConfig: { OnFailure: { Destination: QUEUE } } });
    },
    link: 'waiting time',
    group: 'web',
    found: 'the hook waits 900 s, but HEARTBEAT_TIMEOUT is 300 s: ',
    mend: 'aws cloudformation update-stack --region us-west-2 --stack-name drain --use-previous-template --capabilities CAPABILITY_IAM CAPABILITY_AUTO_EXPAND --parameters \'[{"ParameterKey":"AutoScalingGroupName","UsePreviousValue":true},{"ParameterKey":"HeartbeatTimeout","ParameterValue":"900"}',
  },
  {
    title: "a function whose setting differs from the stack's parameter",
    given: () => givenFunction(functionConfiguration({ HEARTBEAT_TIMEOUT: '60' })),
    link: 'waiting time',
    group: 'web',
    found: 'the hook waits 300 s, but HEARTBEAT_TIMEOUT is 60 s: ',
    mend: 'aws lambda update-function-configuration --region us-west-2 --function-name drain-Function-1 --environment \'{"Variables":{"TAG_KEY":"remove_from_lb","TAG_VALUE":"yes","HEARTBEAT_TIMEOUT":"300"}}\'',
  },
  {
    title: 'a hook that waits longer than Lambda keeps an event',
    given: () =>
      aws.lambda
        .on(GetFunctionEventInvokeConfigCommand)
        .resolves({ MaximumEventAgeInSeconds: 60, DestinationConfig: { OnFailure: { Destination: QUEUE } } }),
    link: 'waiting time',
    group: 'web',
    found: 'the hook waits 300 s, but Lambda drops events after 60 s: ',
    mend: 'aws lambda update-function-event-invoke-config --region us-west-2 --function-name drain-Function-1 --maximum-event-age-in-seconds 300',
  },
  {
    title: 'a warm pool with reuse whose returns nobody announces',
    given: () => {
      givenGroups({ AutoScalingGroupName: 'web', ...WARM_POOL });
      givenHooks('web', HOOK);
      givenNotifications('autoscaling:EC2_INSTANCE_TERMINATE');
    },
    link: 'return to service',
    group: 'web',
    found: 'neither launch notifications nor a launching hook',
    mend: `aws autoscaling put-notification-configuration --region us-west-2 --auto-scaling-group-name web --notification-types autoscaling:EC2_INSTANCE_TERMINATE autoscaling:EC2_INSTANCE_LAUNCH --topic-arn ${TOPIC}`,
  },
  {
    title: 'a launching hook that ends with ABANDON',
    given: () =>
      givenHooks('web', HOOK, {
        ...HOOK,
        LifecycleHookName: 'drain-launch',
        LifecycleTransition: 'autoscaling:EC2_INSTANCE_LAUNCHING',
        HeartbeatTimeout: 30,
        DefaultResult: 'ABANDON',
      }),
    link: 'launching hook',
    group: 'web',
    found: 'every instance is terminated at the end of its launch',
    mend: '--lifecycle-hook-name drain-launch --lifecycle-transition autoscaling:EC2_INSTANCE_LAUNCHING --heartbeat-timeout 30 --default-result CONTINUE',
  },
  {
    title: 'fewer copies reserved than the group has instances',
    given: () => aws.lambda.on(GetFunctionConcurrencyCommand).resolves({ ReservedConcurrentExecutions: 1 }),
    link: 'concurrency',
    group: 'web',
    found: '1 copies reserved, 2 instances in the group: a scale-in of more at once is throttled',
    mend: 'aws lambda delete-function-concurrency --region us-west-2 --function-name drain-Function-1',
  },
  {
    title: 'no copy allowed',
    given: () => {
      aws.lambda.on(GetFunctionConcurrencyCommand).resolves({ ReservedConcurrentExecutions: 0 });
      givenGroups({ Instances: [] });
      givenHooks('web', HOOK);
    },
    link: 'concurrency',
    group: 'web',
    found: '0 copies reserved, 0 instances in the group: the next scale-in sets no tag',
    mend: 'aws lambda delete-function-concurrency',
  },
  {
    title: 'an account that may run fewer copies than the group has instances',
    given: () =>
      aws.lambda
        .on(GetAccountSettingsCommand)
        .resolves({ AccountLimit: { ConcurrentExecutions: 10, UnreservedConcurrentExecutions: 1 } }),
    link: 'concurrency',
    group: 'web',
    found: '1 copies for all functions of the account, 2 instances in the group: a scale-in of more at once',
    mend: 'aws service-quotas request-service-quota-increase --region us-west-2 --service-code lambda --quota-code L-B99A9384 --desired-value 1000',
  },
  {
    title: 'instances in service that carry the tag',
    given: () => givenTagged('i-00000001', 'i-00000002'),
    link: 'in service',
    group: 'web',
    found: '2 of 2 tagged remove_from_lb=yes (i-00000001, i-00000002)',
    mend: 'aws ec2 delete-tags --region us-west-2 --resources i-00000001 i-00000002 --tags \'[{"Key":"remove_from_lb","Value":"yes"}]\'',
  },
  {
    title: 'an instance that waits to leave without the tag',
    given: () => {
      givenGroups({
        Instances: [inState('i-00000003', 'Terminating:Wait'), inState('i-00000004', 'Terminating:Wait')],
      });
      givenHooks('web', HOOK);
      givenTagged('i-00000004');
    },
    link: 'waiting to leave',
    group: 'web',
    found: '1 of 2 without the tag (i-00000003)',
    mend: 'aws ec2 create-tags --region us-west-2 --resources i-00000003 --tags \'[{"Key":"remove_from_lb","Value":"yes"}]\'',
  },
  {
    title: 'an instance whose root volume is to be replaced, without the tag',
    given: () => {
      givenGroups({ Instances: [inState('i-00000003', 'ReplacingRootVolume:Wait')] });
      givenHooks('web', HOOK);
    },
    link: 'waiting to leave',
    group: 'web',
    found: '1 of 1 without the tag (i-00000003)',
    mend: '--resources i-00000003',
  },
  {
    title: 'an instance on its way back to the warm pool, without the tag',
    given: () => {
      givenGroups(WARM_POOL);
      givenHooks('web', HOOK);
      givenNotifications('autoscaling:EC2_INSTANCE_LAUNCH');
      aws.autoScaling
        .on(DescribeWarmPoolCommand, { AutoScalingGroupName: 'web', NextToken: undefined })
        .resolves({ Instances: [inState('i-00000005', 'Warmed:Stopped')], NextToken: 'page 1' })
        .on(DescribeWarmPoolCommand, { AutoScalingGroupName: 'web', NextToken: 'page 1' })
        .resolves({ Instances: [inState('i-00000006', 'Warmed:Pending:Wait')] });
    },
    link: 'waiting to leave',
    group: 'web',
    found: '1 of 1 without the tag (i-00000006)',
    mend: '--resources i-00000006',
  },
];

describe('a broken link', () => {
  test.each(BROKEN)('is found: $title', async ({ given, link, group = null, found, mend }) => {
    given();
    const { code, links: all } = await links();
    expect(code).toBe(1);
    // One answer breaks one link; what hangs on it is not said again.
    expect(all.filter(({ state }) => state === 'broken')).toEqual([
      { link, group, state: 'broken', found: expect.stringContaining(found), mend: expect.stringContaining(mend) },
    ]);
  });

  test('is shown on one line, with its command on the next', async () => {
    givenTagged('i-00000001');
    const { code, out } = await runCheck(['--stack', 'drain']);
    expect(code).toBe(1);
    const index = out.findIndex((line) => line.startsWith('broken'));
    expect(out[index]).toMatch(/^broken {3}web: in service {9}1 of 2 tagged remove_from_lb=yes \(i-00000001\)/);
    expect(out[index + 1]).toMatch(/^ {9}mend: aws ec2 delete-tags --region us-west-2 --resources i-00000001 --tags /);
    expect(out.filter((line) => line.includes('mend:'))).toHaveLength(1);
  });

  describe('of a stack that does not exist', () => {
    beforeEach(() => {
      aws.cloudFormation
        .on(DescribeStacksCommand, { StackName: 'drain' })
        .rejects(awsError('ValidationError', 'Stack with id drain does not exist'));
    });

    test('names the account, the region and the stacks that were made from the template', async () => {
      const [first, second, other] = ['web-drain', 'shop-drain', 'network'].map((StackName) => ({
        StackName,
        StackId: `arn:aws:cloudformation:us-west-2:123456789012:stack/${StackName}/1`,
        CreationTime: new Date(0),
        StackStatus: 'CREATE_COMPLETE' as const,
        Outputs: ['TopicArn', 'HookRoleArn', 'FunctionName', 'FailureQueueUrl'].map((OutputKey) => ({
          OutputKey,
          OutputValue: StackName === 'network' && OutputKey === 'FunctionName' ? '' : 'x',
        })),
      }));
      aws.cloudFormation
        .on(DescribeStacksCommand, { StackName: undefined, NextToken: undefined })
        .resolves({ Stacks: [other, first], NextToken: 'page 1' } as object)
        .on(DescribeStacksCommand, { StackName: undefined, NextToken: 'page 1' })
        .resolves({ Stacks: [second] } as object);
      expect(await links()).toEqual({
        code: 1,
        links: [
          {
            link: 'stack',
            group: null,
            state: 'broken',
            found:
              'us-west-2, account 123456789012, has no stack drain; stacks made from template.yaml there: web-drain, shop-drain',
            mend: 'give the right --stack, region (AWS_REGION) and account (AWS_PROFILE)',
          },
        ],
      });
    });

    test('names the region only where the stacks may not be listed', async () => {
      aws.cloudFormation.on(DescribeStacksCommand, { StackName: undefined }).rejects(DENIED);
      const { code, links: all } = await links();
      expect(code).toBe(1);
      expect(all).toMatchObject([{ link: 'stack', state: 'broken', found: 'us-west-2 has no stack drain' }]);
    });
  });

  test('comes with a command that a shell takes as it stands', async () => {
    const group = `it's "web" $HOME`;
    givenGroups({ AutoScalingGroupName: group, Instances: [] });
    givenStack({}, { AutoScalingGroupName: group });
    const { links: all } = await links();
    const mend = all.find(({ link }) => link === 'terminating hook')?.mend ?? '';
    const words = execFileSync('sh', ['-c', `aws() { printf '%s\\n' "$@"; }\n${mend}`], { encoding: 'utf8' });
    expect(words.split('\n')).toEqual([
      'autoscaling',
      'put-lifecycle-hook',
      '--region',
      'us-west-2',
      '--lifecycle-hook-name',
      'drain',
      '--lifecycle-transition',
      'autoscaling:EC2_INSTANCE_TERMINATING',
      '--heartbeat-timeout',
      '300',
      '--default-result',
      'CONTINUE',
      '--notification-target-arn',
      TOPIC,
      '--role-arn',
      ROLE,
      '--auto-scaling-group-name',
      group,
      '',
    ]);
  });
});

describe('what cannot be looked at', () => {
  test.each<[string, () => void, string, string | null]>([
    ['the topic', () => aws.sns.on(GetTopicAttributesCommand).rejects(DENIED), 'topic', null],
    [
      'the key',
      () => {
        givenKey({});
        aws.kms.on(DescribeKeyCommand).rejects(DENIED);
      },
      'topic key',
      null,
    ],
    ['the subscription', () => aws.sns.on(GetSubscriptionAttributesCommand).rejects(DENIED), 'subscription', null],
    ['the function', () => aws.lambda.on(GetFunctionConfigurationCommand).rejects(DENIED), 'function', null],
    ["the function's policy", () => aws.lambda.on(GetPolicyCommand).rejects(DENIED), 'function permission', null],
    ['its events', () => aws.lambda.on(GetFunctionEventInvokeConfigCommand).rejects(DENIED), 'function events', null],
    ['the failure queue', () => aws.sqs.on(GetQueueAttributesCommand).rejects(DENIED), 'failure queue', null],
    ['the metric', () => aws.cloudWatch.on(GetMetricDataCommand).rejects(DENIED), 'last tagged', null],
    ['the groups', () => aws.autoScaling.on(DescribeAutoScalingGroupsCommand).rejects(DENIED), 'groups', null],
    ['the role', () => aws.iam.on(GetRoleCommand).rejects(DENIED), 'hook role', 'web'],
    ['its rights', () => aws.iam.on(SimulatePrincipalPolicyCommand).rejects(DENIED), 'publish to topic', 'web'],
    [
      'the notifications',
      () => {
        givenGroups(WARM_POOL);
        givenHooks('web', HOOK);
        aws.autoScaling.on(DescribeNotificationConfigurationsCommand).rejects(DENIED);
      },
      'return to service',
      'web',
    ],
    ['the concurrency', () => aws.lambda.on(GetAccountSettingsCommand).rejects(DENIED), 'concurrency', 'web'],
    ['the tags', () => aws.ec2.on(DescribeInstancesCommand).rejects(DENIED), 'in service', 'web'],
    ['the tags', () => aws.ec2.on(DescribeInstancesCommand).rejects(DENIED), 'waiting to leave', 'web'],
  ])('is unknown, with the reason, and no failure: %s', async (_, given, link, group) => {
    given();
    const { code, links: all } = await links();
    expect(code).toBe(0);
    expect(all.find((each) => each.link === link)).toEqual({
      link,
      group,
      state: 'unknown',
      found: 'no permission to look: not for you',
      mend: null,
    });
    expect(all.filter(({ state }) => state === 'broken')).toEqual([]);
  });

  test('is everything else, when it is the stack', async () => {
    aws.cloudFormation.on(DescribeStacksCommand).rejects(DENIED);
    const { code, links: all } = await links();
    expect(code).toBe(0);
    expect(all).toMatchObject([{ link: 'stack', state: 'unknown', found: expect.stringContaining('not for you') }]);
  });

  test.each(['AccessDenied', 'UnauthorizedOperation', 'AuthorizationErrorException', 'NotAuthorized'])(
    'is so by any name that a service has for it: %s',
    async (name) => {
      aws.iam.on(GetRoleCommand).rejects(awsError(name, 'not\nfor you'));
      const { links: all } = await links();
      expect(all).toContainEqual(expect.objectContaining({ found: 'no permission to look: not for you' }));
    },
  );

  test('is what an emulator does not have', async () => {
    const page = new SyntaxError("Unexpected token '<'\n  Deserialization error: to see the raw response, …");
    aws.lambda.on(GetAccountSettingsCommand).rejects(page);
    aws.iam.on(SimulatePrincipalPolicyCommand).rejects(awsError('NotImplemented', 'not here'));
    const { code, links: all } = await links();
    expect(code).toBe(0);
    expect(all.filter(({ state }) => state === 'unknown')).toMatchObject([
      { link: 'publish to topic', found: 'NotImplemented: not here' },
      { link: 'concurrency', found: 'the endpoint does not answer this call as AWS does' },
    ]);
  });

  test("is a role that depends on what the simulation does not know, or on the topic's own policy", async () => {
    givenDecision('sns:Publish', 'implicitDeny', ['aws:PrincipalOrgID']);
    expect((await links()).links.find(({ link }) => link === 'publish to topic')).toMatchObject({
      state: 'unknown',
      found: 'drain-HookRole-1: sns:Publish implicitDeny, depending on aws:PrincipalOrgID',
    });
    givenDecision('sns:Publish', 'implicitDeny');
    const Policy = JSON.stringify({
      Statement: [{ Effect: 'Allow', Principal: { AWS: ROLE }, Action: 'sns:Publish' }],
    });
    aws.sns.on(GetTopicAttributesCommand).resolves({ Attributes: { Policy } });
    expect((await links()).links.find(({ link }) => link === 'publish to topic')).toMatchObject({
      state: 'unknown',
      found: expect.stringContaining("the topic's policy names it"),
    });
  });

  test('is what still changes', async () => {
    givenStack({ StackStatus: 'UPDATE_IN_PROGRESS' });
    givenFunction({ LastUpdateStatus: 'InProgress' });
    const { code, links: all } = await links();
    expect(code).toBe(0);
    expect(all.filter(({ state }) => state === 'unknown').map(({ link }) => link)).toEqual(['stack', 'function']);
  });

  test('is a chain that never tagged anything', async () => {
    aws.cloudWatch.on(GetMetricDataCommand).resolves({ MetricDataResults: [{ Timestamps: [], Values: [] }] });
    const { links: all } = await links();
    expect(all.find(({ link }) => link === 'last tagged')).toMatchObject({
      state: 'unknown',
      found: expect.stringContaining('nothing in 62 days'),
    });
  });

  test('is the age of what lies in the failure queue, which is broken all the same', async () => {
    givenQueue({ ApproximateNumberOfMessages: '1' });
    aws.cloudWatch.on(GetMetricDataCommand).rejects(DENIED);
    const { links: all } = await links();
    expect(all.find(({ link }) => link === 'failure queue')).toMatchObject({
      state: 'broken',
      found: expect.stringContaining('the oldest of unknown age (no permission to look: not for you)'),
    });
  });
});

describe('what is no fault', () => {
  test.each<[string, () => void, string, string]>([
    [
      'a stack whose last update was taken back',
      () => givenStack({ StackStatus: 'UPDATE_ROLLBACK_COMPLETE' }),
      'stack',
      'the last update was taken back',
    ],
    ['a key that is enabled', () => givenKey({}), 'topic key', 'key-1, enabled, customer-managed'],
    [
      "a role that may use the topic's key",
      () => givenKey({}),
      'use of topic key',
      'kms:GenerateDataKey, kms:Decrypt on arn:aws:kms',
    ],
    [
      'another hook that lets the wait go on',
      () =>
        givenHooks('web', HOOK, {
          ...HOOK,
          LifecycleHookName: 'logs',
          NotificationTargetARN: undefined,
          HeartbeatTimeout: 60,
        }),
      'other terminating hook',
      'logs, heartbeat timeout 60 s, default result CONTINUE',
    ],
    [
      'another hook that abandons the wait when it is over',
      () =>
        givenHooks('web', HOOK, {
          LifecycleHookName: 'logs',
          LifecycleTransition: 'autoscaling:EC2_INSTANCE_TERMINATING',
          HeartbeatTimeout: 301,
        }),
      'other terminating hook',
      'logs, heartbeat timeout 301 s, default result ABANDON',
    ],
    [
      'a hook that waits shorter than the function believes',
      () => givenHooks('web', { ...HOOK, HeartbeatTimeout: 120 }),
      'waiting time',
      '120 s; the function acts on messages of up to 300 s',
    ],
    [
      'a warm pool with reuse and launch notifications',
      () => {
        givenGroups(WARM_POOL);
        givenHooks('web', HOOK);
        givenNotifications('autoscaling:EC2_INSTANCE_LAUNCH');
      },
      'return to service',
      'a warm pool with reuse, and launch notifications',
    ],
    [
      'a warm pool with reuse and a launching hook',
      () => {
        givenGroups(WARM_POOL);
        givenHooks('web', HOOK, {
          ...HOOK,
          LifecycleTransition: 'autoscaling:EC2_INSTANCE_LAUNCHING',
        });
      },
      'return to service',
      'a warm pool with reuse, and a launching hook',
    ],
    [
      'a warm pool without reuse',
      () => {
        givenGroups({ WarmPoolConfiguration: {} });
        givenHooks('web', HOOK);
      },
      'return to service',
      'a warm pool, to which no instance returns',
    ],
    [
      'as many copies reserved as there are instances',
      () => aws.lambda.on(GetFunctionConcurrencyCommand).resolves({ ReservedConcurrentExecutions: 2 }),
      'concurrency',
      '2 copies reserved, 2 instances in the group',
    ],
    ['a tagged instance of another group', () => givenTagged('i-00000009'), 'in service', '2 instances, none tagged'],
    [
      'an instance that waits to leave with its tag',
      () => {
        givenGroups({ Instances: [inState('i-00000003', 'Terminating:Wait')] });
        givenHooks('web', HOOK);
        givenTagged('i-00000003');
      },
      'waiting to leave',
      '1 instances, all tagged',
    ],
  ])('%s', async (_, given, link, found) => {
    given();
    const { code, links: all } = await links();
    expect(code).toBe(0);
    expect(all.find((each) => each.link === link)).toMatchObject({
      state: 'ok',
      found: expect.stringContaining(found),
    });
  });

  test("a filter whose keys SNS gives back in another order is the template's", async () => {
    const [first, { Origin, Destination, $or }] = (templateFilter() as { $or: [object, Record<string, unknown>] }).$or;
    givenSubscription({ FilterPolicy: JSON.stringify({ $or: [first, { $or, Destination, Origin }] }) });
    expect((await links()).code).toBe(0);
  });
});

describe('the groups', () => {
  test('are those with a hook to the topic, on whatever page; the others are named', async () => {
    givenGroups({ AutoScalingGroupName: 'batch' }, { AutoScalingGroupName: 'web' }, { AutoScalingGroupName: 'shop' });
    givenHooks('shop', HOOK);
    givenHooks('batch', { ...HOOK, NotificationTargetARN: `${TOPIC}-2` });
    const { code, links: all } = await links();
    expect(code).toBe(0);
    expect(new Set(all.map(({ group }) => group))).toEqual(new Set([null, 'shop']));
    expect(all.find(({ link }) => link === 'groups')).toMatchObject({
      state: 'ok',
      found: '1 with a hook to the topic, or named by the stack; none on batch, web',
    });
  });

  test('are those that --group names, and no others', async () => {
    givenGroups({ AutoScalingGroupName: 'batch' }, { AutoScalingGroupName: 'web' }, { AutoScalingGroupName: 'shop' });
    givenHooks('shop', HOOK);
    const { code, links: all } = await links('--group', 'batch', '--group', 'gone');
    expect(code).toBe(1);
    expect(all.filter(({ state }) => state === 'broken').map(({ link, group }) => [link, group])).toEqual([
      ['group', 'gone'],
      ['terminating hook', 'batch'],
    ]);
    expect(new Set(all.map(({ group }) => group))).toEqual(new Set([null, 'gone', 'batch']));
    expect(all.find(({ group }) => group === 'gone')).toMatchObject({
      found: 'us-west-2 has no group gone; its groups are batch, web, shop',
      mend: 'give the name of a group that exists, or leave out --group',
    });
  });

  test('are named up to ten, where one that does not exist was asked for', async () => {
    givenGroups(...Array.from({ length: 12 }, (_, index) => ({ AutoScalingGroupName: `web-${index + 1}` })));
    const { links: many } = await links('--group', 'web');
    expect(many.find(({ link }) => link === 'group')?.found).toMatch(/; its groups are web-1, .*, web-10, and 2 more$/);
    givenGroups();
    const { links: none } = await links('--group', 'web');
    expect(none.find(({ link }) => link === 'group')?.found).toBe('us-west-2 has no group web; it has no group at all');
  });

  test('have their own roles, launching hooks too', async () => {
    const role = `${ROLE}-2`;
    givenHooks('web', HOOK, {
      ...HOOK,
      LifecycleTransition: 'autoscaling:EC2_INSTANCE_LAUNCHING',
      RoleARN: role,
    });
    aws.iam
      .on(SimulatePrincipalPolicyCommand, {
        PolicySourceArn: role,
        ActionNames: ['sns:Publish'],
        ResourceArns: [TOPIC],
      })
      .resolves({ EvaluationResults: [{ EvalActionName: 'sns:Publish', EvalDecision: 'implicitDeny' }] });
    const { links: all } = await links();
    expect(all.filter(({ link }) => link === 'publish to topic').map(({ state }) => state)).toEqual(['ok', 'broken']);
  });
});

describe('pages', () => {
  test('of subscriptions are read to the one that is wanted', async () => {
    givenSubscriptions([['sqs', QUEUE, `${TOPIC}:1`]], [['lambda', FUNCTION, SUBSCRIPTION]]);
    expect((await links()).code).toBe(0);
  });

  test('of a simulation are read to the end', async () => {
    aws.iam
      .on(SimulatePrincipalPolicyCommand)
      .resolves({ EvaluationResults: [], IsTruncated: true, Marker: 'page 1' })
      .on(SimulatePrincipalPolicyCommand, { Marker: 'page 1' })
      .resolves({ EvaluationResults: [{ EvalActionName: 'sns:Publish', EvalDecision: 'implicitDeny' }] });
    expect((await links()).code).toBe(1);
  });

  test('of notifications are read to the end', async () => {
    givenGroups(WARM_POOL);
    givenHooks('web', HOOK);
    aws.autoScaling
      .on(DescribeNotificationConfigurationsCommand)
      .resolves({ NotificationConfigurations: [], NextToken: 'page 1' })
      .on(DescribeNotificationConfigurationsCommand, { NextToken: 'page 1' })
      .resolves({
        NotificationConfigurations: [{ NotificationType: 'autoscaling:EC2_INSTANCE_LAUNCH', TopicARN: TOPIC }],
      });
    expect((await links()).code).toBe(0);
  });

  test('of the metric are read until there is a value', async () => {
    aws.cloudWatch
      .on(GetMetricDataCommand)
      .resolves({ MetricDataResults: [{ Timestamps: [], Values: [] }], NextToken: 'page 1' })
      .on(GetMetricDataCommand, { NextToken: 'page 1' })
      .resolves({ MetricDataResults: [{ Timestamps: [new Date(0), new Date(Date.now() - 300_000)], Values: [0, 1] }] });
    const { links: all } = await links();
    expect(all.find(({ link }) => link === 'last tagged')?.found).toMatch(/^5 minutes ago/);
  });
});

describe('the tag', () => {
  test("is the function's, or else the stack's", async () => {
    givenStack({}, { TagKey: 'leave', TagValue: 'soon' });
    givenFunction(functionConfiguration({ TAG_KEY: 'drain', TAG_VALUE: 'n?w*' }));
    await links();
    aws.lambda.on(GetFunctionConfigurationCommand).rejects(DENIED);
    await links();
    const filters = aws.ec2.commandCalls(DescribeInstancesCommand).map(({ args: [{ input }] }) => input.Filters);
    expect(filters).toEqual([
      [
        { Name: 'tag:aws:autoscaling:groupName', Values: ['web'] },
        { Name: 'tag:drain', Values: ['n\\?w\\*'] },
      ],
      [
        { Name: 'tag:aws:autoscaling:groupName', Values: ['web'] },
        { Name: 'tag:leave', Values: ['soon'] },
      ],
    ]);
  });
});

describe('the command', () => {
  test.each([
    [[], '--stack is absent; expected npm run check -- --stack NAME'],
    [['--stack'], "Option '--stack <value>' argument missing"],
    [['--quick'], "Unknown option '--quick'; npm run check -- --help lists the options"],
    [['drain'], 'Unexpected argument \'drain\'; npm passes on only the options after "--"'],
    [['--stack', 'drain', '--yes'], '--haproxy, --yes and --force belong to --drill INSTANCE'],
    [['--stack', 'drain', '--force'], '--haproxy, --yes and --force belong to --drill INSTANCE'],
    [['--stack', 'drain', '--haproxy', '/run/haproxy.sock'], '--haproxy, --yes and --force belong to --drill'],
    [['--stack', 'drain', '--drill', 'i-00000001'], 'there is no terminal; --yes goes without'],
  ])('refuses %j', async (args, reason) => {
    await expect(runCheck(args)).rejects.toThrow(reason);
    for (const client of Object.values(aws)) expect(client.calls()).toHaveLength(0);
  });

  test('shows its options', async () => {
    const { code, out } = await runCheck(['--help']);
    expect(code).toBe(0);
    for (const option of ['stack NAME', 'group GROUP', 'json', 'drill INSTANCE', 'haproxy SOURCE', 'yes', 'force']) {
      expect(out.join('\n')).toContain(`--${option}`);
    }
  });

  test('prints no links when it is interrupted', async () => {
    const interruption = new AbortController();
    aws.sns.on(GetTopicAttributesCommand).callsFake(() => interruption.abort(new Error('interrupted')));
    const { terminal, printed } = fakeTerminal(interruption.signal);
    const surroundings = {
      ask: undefined,
      clock: { now: () => 0, sleep: async () => {} },
      localSha256: async () => '',
    };
    await expect(main(STACK, process.env, terminal, surroundings)).rejects.toThrow('interrupted');
    expect(printed).toEqual({ out: '', err: '' });
  });

  test('says what to set where there is no region', async () => {
    vi.stubEnv('AWS_REGION', undefined);
    vi.stubEnv('AWS_CONFIG_FILE', '/nowhere');
    await expect(runCheck(STACK)).rejects.toThrow('Region is missing; set AWS_REGION');
  });

  test('says what to set where there are no credentials', async () => {
    for (const name of ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY']) vi.stubEnv(name, undefined);
    for (const name of ['AWS_CONFIG_FILE', 'AWS_SHARED_CREDENTIALS_FILE']) vi.stubEnv(name, '/nowhere');
    vi.stubEnv('AWS_EC2_METADATA_DISABLED', 'true');
    await expect(runCheck(STACK)).rejects.toThrow('expected a profile, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY');
  });

  test('names the profile that does not exist, although there are keys, and the SDK does not warn of both', async () => {
    const warn = vi.spyOn(console, 'warn');
    vi.stubEnv('AWS_PROFILE', 'nosuch');
    for (const name of ['AWS_CONFIG_FILE', 'AWS_SHARED_CREDENTIALS_FILE']) vi.stubEnv(name, '/nowhere');
    vi.stubEnv('AWS_EC2_METADATA_DISABLED', 'true');
    await expect(runCheck(STACK)).rejects.toThrow('AWS_PROFILE is "nosuch"; expected a profile that has credentials');
    expect(warn).not.toHaveBeenCalled();
  });

  test('refuses an endpoint that is no URL of http', async () => {
    vi.stubEnv('AWS_ENDPOINT_URL', 'localhost:5602');
    await expect(runCheck(STACK)).rejects.toThrow('AWS_ENDPOINT_URL is "localhost:5602"; expected http://');
  });

  test.each<[string | undefined, object, string]>([
    [undefined, {}, 'AWS cannot be reached: getaddrinfo ENOTFOUND'],
    ['http://127.0.0.1:1', {}, 'http://127.0.0.1:1 cannot be reached: getaddrinfo ENOTFOUND'],
    [undefined, { httpStatusCode: 403 }, 'getaddrinfo ENOTFOUND'],
    ['http://127.0.0.1:1', { httpStatusCode: 403 }, 'http://127.0.0.1:1 answers with HTTP status 403: getaddrinfo'],
  ])(
    'says why the stack cannot be read, with AWS_ENDPOINT_URL %s and metadata %j',
    async (url, $metadata, sentence) => {
      vi.stubEnv('AWS_ENDPOINT_URL', url);
      const error = Object.assign(new Error('getaddrinfo ENOTFOUND'), { $metadata });
      aws.cloudFormation.on(DescribeStacksCommand).rejects(error);
      await expect(runCheck(STACK)).rejects.toThrow(new RegExp(`^${sentence}`));
    },
  );
});

const DENIED = awsError('AccessDeniedException', 'not for you');

function givenEverything(): void {
  givenKey({});
  givenQueue({ ApproximateNumberOfMessages: '1' });
  givenGroups(WARM_POOL);
  givenHooks('web', HOOK);
}

function givenKey(changes: { KeyState?: 'Disabled' | 'PendingDeletion' }): void {
  aws.sns.on(GetTopicAttributesCommand).resolves({ Attributes: { KmsMasterKeyId: 'alias/topic' } });
  aws.kms.on(DescribeKeyCommand, { KeyId: 'alias/topic' }).resolves({
    KeyMetadata: {
      KeyId: 'key-1',
      Arn: 'arn:aws:kms:us-west-2:123456789012:key/key-1',
      KeyState: 'Enabled',
      KeyManager: 'CUSTOMER',
      ...changes,
    },
  });
}

function givenFunction(changes: object): void {
  aws.lambda.on(GetFunctionConfigurationCommand).resolves({ ...functionConfiguration(), ...changes });
}

function givenQueue(changes: Record<string, string>): void {
  aws.sqs.on(GetQueueAttributesCommand).resolves({
    Attributes: { ApproximateNumberOfMessages: '0', ApproximateNumberOfMessagesNotVisible: '0', ...changes },
  });
}

function givenDecision(action: string, decision: 'implicitDeny' | 'explicitDeny', missing: string[] = []): void {
  aws.iam.on(SimulatePrincipalPolicyCommand).callsFake(({ ActionNames }) => ({
    EvaluationResults: ActionNames.map((EvalActionName: string) => ({
      EvalActionName,
      EvalDecision: EvalActionName === action ? decision : 'allowed',
      MissingContextValues: missing,
    })),
  }));
}

function givenNotifications(...types: string[]): void {
  aws.autoScaling.on(DescribeNotificationConfigurationsCommand, { AutoScalingGroupNames: ['web'] }).resolves({
    NotificationConfigurations: types.map((NotificationType) => ({ NotificationType, TopicARN: TOPIC })),
  });
}
