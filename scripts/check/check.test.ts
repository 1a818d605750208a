import { readFileSync } from 'node:fs';
import {
  DescribeAutoScalingGroupsCommand,
  DescribeInstanceRefreshesCommand,
  DescribeLifecycleHooksCommand,
  DescribeNotificationConfigurationsCommand,
  DescribeWarmPoolCommand,
} from '@aws-sdk/client-auto-scaling';
import { DescribeStacksCommand } from '@aws-sdk/client-cloudformation';
import { GetMetricDataCommand } from '@aws-sdk/client-cloudwatch';
import { DescribeInstancesCommand } from '@aws-sdk/client-ec2';
import { GetRoleCommand, SimulatePrincipalPolicyCommand } from '@aws-sdk/client-iam';
import { DescribeKeyCommand, GetKeyPolicyCommand } from '@aws-sdk/client-kms';
import {
  GetAccountSettingsCommand,
  GetFunctionConcurrencyCommand,
  GetFunctionConfigurationCommand,
  GetFunctionEventInvokeConfigCommand,
  GetPolicyCommand,
} from '@aws-sdk/client-lambda';
import {
  GetSubscriptionAttributesCommand,
  GetTopicAttributesCommand,
  ListSubscriptionsByTopicCommand,
} from '@aws-sdk/client-sns';
import { GetQueueAttributesCommand } from '@aws-sdk/client-sqs';
import { beforeEach, describe, expect, test, vi } from 'vitest';
import { type PolicyDocument, roleMay } from '../../test/helpers/policy.ts';
import {
  aws,
  awsError,
  FUNCTION,
  functionConfiguration,
  givenEncryptedTopic,
  givenGroups,
  givenHealthyChain,
  givenHooks,
  givenStack,
  givenTagged,
  HOOK,
  inStates,
  KEY,
  keyPolicy,
  links,
  QUEUE,
  ROLE,
  runCheck,
  SUBSCRIPTION,
  TAG_NAME,
  TOPIC,
  tokenOf,
} from './healthy-chain.ts';

beforeEach(givenHealthyChain);

const PAGE = readFileSync(new URL('../../docs/check.md', import.meta.url), 'utf8');
// The page's policy, for the stack of the tests.
const POLICY: PolicyDocument = JSON.parse(
  (/^```json\n([\s\S]*?)^```$/m.exec(PAGE)?.[1] ?? '')
    .replaceAll('eu-west-1', 'us-west-2')
    .replaceAll('remove-from-lb', 'drain')
    .replace(/key\/[\w-]+/, 'key/key-1'),
);
const STACK = ['--stack', 'drain'];
const REUSE = { WarmPoolConfiguration: { InstanceReusePolicy: { ReuseOnScaleIn: true } } };
const DENIED = awsError('AccessDeniedException', 'not\nfor you');
// Some services have other names for a denial.
const DENIALS: Record<string, string> = {
  iam: 'AccessDenied',
  ec2: 'UnauthorizedOperation',
  sns: 'AuthorizationErrorException',
  cloudWatch: 'NotAuthorized',
};

/** The links in a state, as they are printed. */
async function placesIn(state: string, ...args: string[]): Promise<string[]> {
  const { links: all } = await links(...args);
  return all.flatMap((each) =>
    each.state !== state ? [] : each.group === null ? [each.link] : [`${each.group}: ${each.link}`],
  );
}

/** The ARN by which IAM judges a call; `*` where the call has none. */
function resourceOf(input: Partial<Record<string, string>>): string {
  const { StackName, TopicArn, FunctionName, QueueUrl, RoleName, PolicySourceArn, KeyId } = input;
  if (StackName) return `arn:aws:cloudformation:us-west-2:123456789012:stack/${StackName}/*`;
  if (FunctionName) return FUNCTION;
  if (KeyId) return KEY;
  if (QueueUrl) return QUEUE;
  return RoleName ? ROLE : (TopicArn ?? PolicySourceArn ?? '*');
}

/** The calls of a check, as IAM sees them. */
async function callsOfCheck() {
  givenEncryptedTopic();
  givenGroups(REUSE);
  givenHooks('web', HOOK);
  await links();
  return Object.entries(aws).flatMap(([service, client]) =>
    client.calls().map(({ args: [command] }) => ({
      action: `${service.toLowerCase()}:${command.constructor.name.replace(/Command$/, '')}`,
      resource: resourceOf(command.input as Partial<Record<string, string>>),
    })),
  );
}

// Leaves the decision to the role's policies.
const OPEN_KEY: PolicyDocument = { Version: '2012-10-17', ...JSON.parse(keyPolicy('arn:aws:iam::123456789012:root')) };

describe('a healthy chain', () => {
  test('has these links, which docs/check.md explains, all ok, with exit code 0', async () => {
    const { code, out } = await runCheck(STACK);
    expect(code).toBe(0);
    const places = out.map((line) => /^ok {7}(.*?) {2}/.exec(line)?.[1]);
    expect(places).toEqual([
      'stack',
      'topic',
      'subscription',
      'subscription filter',
      'subscription redrive',
      'function',
      'function settings',
      'function code',
      'function permission',
      'function events',
      'failure queue',
      'last tagged',
      'groups',
      'web: terminating hook',
      'web: hook role',
      'web: publish to topic',
      'web: tag permission',
      'web: waiting time',
      'web: return to service',
      'web: root volume replacement',
      'web: concurrency',
      'web: in service',
      'web: waiting to leave',
    ]);
    for (const place of places) expect(PAGE).toContain(`\`${place?.replace('web: ', '')}\``);
  });

  test('has these fields in its JSON', async () => {
    const { out } = await runCheck([...STACK, '--json']);
    expect(out).toHaveLength(1);
    const parsed = JSON.parse(out.join());
    expect(Object.keys(parsed)).toEqual(['links']);
    for (const link of parsed.links) expect(Object.keys(link)).toEqual(['link', 'group', 'state', 'finding', 'fix']);
  });

  test('is read with the permissions that docs/check.md lists, and nothing is changed', async () => {
    const used = (await callsOfCheck()).map(({ action }) => action);
    const listed = POLICY.Statement.flatMap(({ Action }) => Action);
    expect([...new Set(used)].sort()).toEqual(listed.toSorted());
    expect(listed.filter((action) => !/:(Describe|Get|List|Simulate)/.test(action))).toEqual([]);
  });

  test('is read by a role that may read no other stack', async () => {
    const calls = await callsOfCheck();
    const elsewhere = calls
      .filter(({ resource }) => resource !== '*')
      .map(({ action, resource }) => ({ action, resource: resource.replace(/drain|key-1/, 'other') }));
    expect(elsewhere).toContainEqual({
      action: 'lambda:GetFunctionConfiguration',
      resource: 'arn:aws:lambda:us-west-2:123456789012:function:other-Function-1',
    });
    const denied = [];
    for (const call of [...calls, ...elsewhere]) {
      const resourcePolicy = call.action.startsWith('kms:') ? OPEN_KEY : undefined;
      if (!(await roleMay([POLICY], call, { resourcePolicy }))) denied.push(call);
    }
    expect(denied).toEqual(elsewhere);
  });
});

describe('a call that is denied makes links unknown, with exit code 3', () => {
  test.each<[string[], keyof typeof aws, new (input: never) => object]>([
    [['topic', 'web: publish to topic'], 'sns', GetTopicAttributesCommand],
    [['subscription'], 'sns', ListSubscriptionsByTopicCommand],
    [['subscription'], 'sns', GetSubscriptionAttributesCommand],
    [['topic key'], 'kms', DescribeKeyCommand],
    [['web: use of topic key'], 'kms', GetKeyPolicyCommand],
    [['function', 'function settings', 'web: waiting time'], 'lambda', GetFunctionConfigurationCommand],
    [['function permission'], 'lambda', GetPolicyCommand],
    [['function events', 'web: waiting time'], 'lambda', GetFunctionEventInvokeConfigCommand],
    [['web: concurrency'], 'lambda', GetFunctionConcurrencyCommand],
    [['web: concurrency'], 'lambda', GetAccountSettingsCommand],
    [['failure queue'], 'sqs', GetQueueAttributesCommand],
    [['last tagged'], 'cloudWatch', GetMetricDataCommand],
    [['groups'], 'autoScaling', DescribeAutoScalingGroupsCommand],
    [['groups'], 'autoScaling', DescribeLifecycleHooksCommand],
    [['web: return to service'], 'autoScaling', DescribeNotificationConfigurationsCommand],
    [['web: root volume replacement'], 'autoScaling', DescribeInstanceRefreshesCommand],
    [['web: waiting to leave'], 'autoScaling', DescribeWarmPoolCommand],
    [['web: hook role'], 'iam', GetRoleCommand],
    [['web: publish to topic', 'web: use of topic key'], 'iam', SimulatePrincipalPolicyCommand],
    [['web: in service', 'web: waiting to leave'], 'ec2', DescribeInstancesCommand],
    [['stack'], 'cloudFormation', DescribeStacksCommand],
  ])('%j', async (expected, client, command) => {
    givenEncryptedTopic();
    givenGroups(REUSE);
    givenHooks('web', HOOK);
    const announced = [{ TopicARN: TOPIC, NotificationType: 'autoscaling:EC2_INSTANCE_LAUNCH' }];
    aws.autoScaling.on(DescribeNotificationConfigurationsCommand).resolves({ NotificationConfigurations: announced });
    (aws[client] as typeof aws.sns)
      .on(command as never)
      .rejects(awsError(DENIALS[client] ?? DENIED.name, DENIED.message));
    const { code, links: all } = await links();
    expect(code).toBe(3);
    expect(all.filter(({ state }) => state === 'broken')).toEqual([]);
    for (const { finding } of all.filter(({ state }) => state === 'unknown')) {
      expect(finding).toMatch(/no permission to look: not for you|settings cannot be read/);
    }
    expect(await placesIn('unknown')).toEqual(expected);
  });

  test('and so does a call that an emulator does not have', async () => {
    const page = new SyntaxError("Unexpected token '<'\n  Deserialization error: to see the raw response, …");
    aws.lambda.on(GetAccountSettingsCommand).rejects(page);
    aws.iam.on(SimulatePrincipalPolicyCommand).rejects(awsError('NotImplemented', 'not here'));
    const { links: all } = await links();
    expect(all.filter(({ state }) => state === 'unknown')).toMatchObject([
      { link: 'publish to topic', finding: 'NotImplemented: not here' },
      { link: 'concurrency', finding: 'the endpoint does not answer this call as AWS does' },
    ]);
  });

  test('and so does a key that AWS manages, for which no permission is looked at', async () => {
    givenEncryptedTopic();
    aws.kms
      .on(DescribeKeyCommand)
      .resolves({ KeyMetadata: { KeyId: 'key-1', Arn: KEY, KeyState: 'Enabled', KeyManager: 'AWS' } });
    expect(await placesIn('unknown')).toEqual(['topic key']);
    expect(await placesIn('ok')).not.toContain('web: use of topic key');
  });

  test('and so do settings that Lambda cannot decrypt', async () => {
    const Environment = { Error: { ErrorCode: 'AccessDeniedException', Message: 'no right on the key' } };
    aws.lambda.on(GetFunctionConfigurationCommand).resolves({ ...functionConfiguration(), Environment });
    const { links: all } = await links();
    expect(all.find(({ link }) => link === 'function settings')).toMatchObject({ finding: 'no right on the key' });
  });
});

describe('what AWS says does not exist is broken, with exit code 1', () => {
  test.each<[string, keyof typeof aws, new (input: never) => object, string]>([
    ['topic', 'sns', GetTopicAttributesCommand, 'NotFoundException'],
    ['subscription', 'sns', ListSubscriptionsByTopicCommand, 'NotFound'],
    ['topic key', 'kms', DescribeKeyCommand, 'NotFoundException'],
    ['function', 'lambda', GetFunctionConfigurationCommand, 'ResourceNotFoundException'],
    ['function permission', 'lambda', GetPolicyCommand, 'ResourceNotFoundException'],
    ['function events', 'lambda', GetFunctionEventInvokeConfigCommand, 'ResourceNotFoundException'],
    ['failure queue', 'sqs', GetQueueAttributesCommand, 'QueueDoesNotExist'],
    ['failure queue', 'sqs', GetQueueAttributesCommand, 'AWS.SimpleQueueService.NonExistentQueue'],
    ['web: hook role', 'iam', GetRoleCommand, 'NoSuchEntityException'],
  ])('%s', async (expected, client, command, error) => {
    givenEncryptedTopic();
    (aws[client] as typeof aws.sns).on(command as never).rejects(awsError(error));
    expect((await runCheck(STACK)).code).toBe(1);
    expect(await placesIn('broken')).toEqual([expected]);
  });

  test('a first deployment that failed, the only link', async () => {
    givenStack({ StackStatus: 'ROLLBACK_COMPLETE', Outputs: [] });
    const { code, out } = await runCheck(STACK);
    expect({ code, out }).toEqual({
      code: 1,
      out: [
        'broken   stack  ROLLBACK_COMPLETE: the next scale-in sets no tag',
        '         fix: delete the stack first, then deploy again',
      ],
    });
  });

  test('a setting that the function refuses', async () => {
    aws.lambda.on(GetFunctionConfigurationCommand).resolves(functionConfiguration({ HEARTBEAT_TIMEOUT: 'long' }));
    const { links: all } = await links();
    expect(all.find(({ state }) => state === 'broken')?.finding).toMatch(/^HEARTBEAT_TIMEOUT is "long"; expected/);
  });

  test.each([
    ['PendingConfirmation', {}],
    [SUBSCRIPTION, { PendingConfirmation: 'true' }],
  ])('a subscription that is listed as %s with the attributes %j', async (SubscriptionArn, Attributes) => {
    const other = { Protocol: 'lambda', Endpoint: `${FUNCTION}-2`, SubscriptionArn: `${TOPIC}:1` };
    const own = { Protocol: 'lambda', Endpoint: FUNCTION, SubscriptionArn };
    // On the second page.
    aws.sns
      .on(ListSubscriptionsByTopicCommand, { TopicArn: TOPIC, NextToken: undefined })
      .resolves({ Subscriptions: [other], NextToken: 'page 1' })
      .on(ListSubscriptionsByTopicCommand, { TopicArn: TOPIC, NextToken: 'page 1' })
      .resolves({ Subscriptions: [own] })
      .on(GetSubscriptionAttributesCommand, { SubscriptionArn })
      .resolves({ Attributes });
    const { links: all } = await links();
    const broken = all.filter(({ state }) => state === 'broken');
    expect(broken).toMatchObject([{ link: 'subscription', finding: 'not confirmed: the next scale-in sets no tag' }]);
  });
});

describe('a stack that does not exist', () => {
  beforeEach(() => {
    aws.cloudFormation
      .on(DescribeStacksCommand, { StackName: 'drain' })
      .rejects(awsError('ValidationError', 'Stack with id drain does not exist'));
  });

  test('comes with the account, the region and the stacks that look alike', async () => {
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
    const finding =
      'us-west-2, account 123456789012, has no stack drain; stacks made from template.yaml there: web-drain, shop-drain';
    const fix = 'give the right --stack, region (AWS_REGION) and account (AWS_PROFILE)';
    expect(await links()).toEqual({
      code: 1,
      links: [{ link: 'stack', group: null, state: 'broken', finding, fix }],
    });
  });

  test('comes with the region only, when the stacks may not be listed', async () => {
    aws.cloudFormation.on(DescribeStacksCommand, { StackName: undefined }).rejects(DENIED);
    const { code, links: all } = await links();
    expect(code).toBe(1);
    expect(all).toMatchObject([{ link: 'stack', state: 'broken', finding: 'us-west-2 has no stack drain' }]);
  });
});

describe('the groups', () => {
  beforeEach(() => {
    givenGroups({ AutoScalingGroupName: 'batch' }, { AutoScalingGroupName: 'web' }, { AutoScalingGroupName: 'shop' });
    givenHooks('shop', HOOK);
    givenHooks('batch', { ...HOOK, NotificationTargetARN: `${TOPIC}-2` });
  });

  async function groupsOf(...args: string[]): Promise<unknown[]> {
    return [...new Set((await links(...args)).links.map(({ group }) => group))];
  }

  test('are those with a hook to the topic, on every page', async () => {
    expect(await groupsOf()).toEqual([null, 'shop']);
    const { code, links: all } = await links();
    expect(code).toBe(0);
    expect(all.find(({ link }) => link === 'groups')?.finding).toMatch(/ on batch, web$/);
  });

  test('are also the one of the stack', async () => {
    givenStack({}, { AutoScalingGroupName: 'web' });
    expect(await groupsOf()).toEqual([null, 'web', 'shop']);
    expect(await placesIn('broken')).toEqual(['web: terminating hook']);
  });

  test('are only those that --group names', async () => {
    expect(await groupsOf('--group', 'batch', '--group', 'gone', '--group', 'gone')).toEqual([null, 'gone', 'batch']);
    expect(await placesIn('broken', '--group', 'batch', '--group', 'gone')).toEqual([
      'gone: group',
      'batch: terminating hook',
    ]);
  });

  test('are looked at although the hooks of another one cannot be read', async () => {
    aws.autoScaling.on(DescribeLifecycleHooksCommand, { AutoScalingGroupName: 'web' }).rejects(DENIED);
    expect(await groupsOf()).toEqual([null, 'shop']);
    expect(await placesIn('unknown')).toEqual(['groups']);
  });

  test('are broken when the function may not tag their instances', async () => {
    givenStack({}, { TaggedGroupNames: 'batch, Shop' });
    const { links: all } = await links();
    const finding = 'the function may only tag instances of batch, Shop: the next scale-in sets no tag';
    expect(all.filter(({ state }) => state === 'broken')).toMatchObject([{ group: 'shop', finding }]);
    givenStack({}, { TaggedGroupNames: 'batch, shop' });
    expect((await links()).code).toBe(0);
    // The group of the stack need not be in the list.
    givenStack({}, { TaggedGroupNames: 'batch', AutoScalingGroupName: 'shop' });
    expect((await links()).code).toBe(0);
    givenStack({}, { TaggedGroupNames: '', AutoScalingGroupName: 'shop' });
    const { links: unlimited } = await links();
    expect(unlimited.find(({ link }) => link === 'tag permission')?.finding).toMatch(/every group$/);
  });

  test('have their own roles', async () => {
    const own = { ...HOOK, RoleARN: `${ROLE}-2`, LifecycleTransition: 'autoscaling:EC2_INSTANCE_LAUNCHING' };
    givenHooks('web', HOOK, own);
    aws.iam
      .on(SimulatePrincipalPolicyCommand, { PolicySourceArn: `${ROLE}-2`, ResourceArns: [TOPIC] })
      .resolves({ EvaluationResults: [{ EvalActionName: 'sns:Publish', EvalDecision: 'explicitDeny' }] });
    expect(await placesIn('broken')).toEqual(['web: publish to topic']);
  });
});

describe('an answer of several pages is read to its end', () => {
  test('by the simulation', async () => {
    aws.iam
      .on(SimulatePrincipalPolicyCommand)
      .resolves({ EvaluationResults: [], IsTruncated: true, Marker: 'page 1' })
      .on(SimulatePrincipalPolicyCommand, { Marker: 'page 1' })
      .resolves({ EvaluationResults: [{ EvalActionName: 'sns:Publish', EvalDecision: 'explicitDeny' }] });
    expect(await placesIn('broken')).toEqual(['web: publish to topic']);
  });

  test('about the group', async () => {
    givenGroups(REUSE);
    givenHooks('web', HOOK);
    const announced = { NotificationType: 'autoscaling:EC2_INSTANCE_LAUNCH', TopicARN: TOPIC };
    const refresh = { InstanceRefreshId: '1', Strategy: 'ReplaceRootVolume' } as const;
    for (const [page, isLast] of [false, true].entries()) {
      const next = isLast ? {} : { NextToken: tokenOf(1) };
      const NextToken = tokenOf(page);
      aws.autoScaling
        .on(DescribeNotificationConfigurationsCommand, { AutoScalingGroupNames: ['web'], NextToken })
        .resolves({ NotificationConfigurations: isLast ? [announced] : [], ...next })
        .on(DescribeInstanceRefreshesCommand, { AutoScalingGroupName: 'web', NextToken })
        .resolves({ InstanceRefreshes: isLast ? [refresh] : [], ...next })
        .on(DescribeWarmPoolCommand, { AutoScalingGroupName: 'web', NextToken })
        .resolves({ Instances: isLast ? inStates('Warmed:Pending:Wait') : [], ...next });
    }
    expect(await placesIn('broken')).toEqual(['web: root volume replacement', 'web: waiting to leave']);
  });

  test('by the metrics, each with its name', async () => {
    const now = Date.now();
    const minutesAgo = (minutes: number) => new Date(now - minutes * 60_000);
    aws.sqs.on(GetQueueAttributesCommand).resolves({ Attributes: { ApproximateNumberOfMessages: '1' } });
    aws.cloudWatch.on(GetMetricDataCommand).callsFake(({ MetricDataQueries: [query], NextToken }) => {
      const { Metric } = query.MetricStat;
      const [{ Name, Value }] = Metric.Dimensions;
      const values: Record<string, number> = {
        'drain Messages Outcome tagged': 3,
        'AWS/SQS ApproximateAgeOfOldestMessage QueueName drain-FailureQueue-1': 640,
      };
      const value = values[`${Metric.Namespace} ${Metric.MetricName} ${Name} ${Value}`];
      return NextToken
        ? { MetricDataResults: [{ Timestamps: [minutesAgo(60), minutesAgo(90)], Values: [0, value] }] }
        : { MetricDataResults: [{ Timestamps: [], Values: [] }], NextToken: 'page 1' };
    });
    const { links: all } = await links();
    expect(all.find(({ link }) => link === 'last tagged')?.finding).toBe(
      `in the five minutes from ${minutesAgo(90).toISOString()}`,
    );
    expect(all.find(({ link }) => link === 'failure queue')?.finding).toContain('at least 640 s old');
  });
});

describe('the tag', () => {
  test("is the function's, or else the stack's; nothing in it is a wildcard", async () => {
    givenStack({}, { TagKey: 'leave', TagValue: 'soon' });
    const variables = { TAG_KEY: 'drain', TAG_VALUE: 'n?w*' };
    aws.lambda.on(GetFunctionConfigurationCommand).resolves(functionConfiguration(variables));
    await links();
    aws.lambda.on(GetFunctionConfigurationCommand).rejects(DENIED);
    await links();
    const filters = aws.ec2.commandCalls(DescribeInstancesCommand).map(({ args: [{ input }] }) => input.Filters);
    expect(filters).toEqual([[{ Name: 'tag:drain', Values: ['n\\?w\\*'] }], [{ Name: 'tag:leave', Values: ['soon'] }]]);
  });
});

describe('the output', () => {
  test('has a broken link on one line, and its fix on the next', async () => {
    givenTagged('i-00000001', 'i-00000002');
    const { code, out } = await runCheck(STACK);
    expect(code).toBe(1);
    const index = out.findIndex((line) => line.startsWith('broken'));
    expect(out[index]).toMatch(/^broken {3}web: in service {15}2 of 2 instances with /);
    expect(out[index]).toContain(TAG_NAME);
    expect(out[index + 1]).toMatch(
      /^ {9}fix: aws ec2 delete-tags --region us-west-2 --resources i-00000001 i-00000002 /,
    );
    expect(out.filter((line) => line.includes('fix:'))).toHaveLength(1);
  });

  test('has no character that controls a terminal or the direction of writing, in either form', async () => {
    const name = 'w\x1b]0;title\x07\x9b2K\u202eb\u{e0041}e\rb\nok';
    givenGroups({ AutoScalingGroupName: name });
    givenHooks(name, { ...HOOK, LifecycleHookName: 'h\x1b\u202e', DefaultResult: 'ABANDON' });
    const text = await runCheck(STACK);
    expect(text.out.join('\n')).toContain('w?]0;title??2K?b?e?b?ok: terminating hook');
    expect(text.out.join('\n')).toContain('h??, timeout 300 s, default result ABANDON');
    expect(text.out.join('\n')).not.toContain('fix: aws');
    const json = await runCheck([...STACK, '--json']);
    for (const { out } of [text, json]) expect(out.filter((line) => /[\p{Cc}\p{Cf}]/u.test(line))).toEqual([]);
    expect(JSON.parse(json.out.join()).links.at(-1).group).toBe(name);
  });

  test('keeps its own colours', async () => {
    vi.stubEnv('FORCE_COLOR', '1');
    const { out } = await runCheck(STACK);
    const visible = out[0]?.replaceAll('\x1b', '^');
    expect(visible).toMatch(/^\^\[32mok {5}\^\[39m {2}\^\[1mstack +\^\[22m {2}CREATE_COMPLETE$/);
  });

  test.each([
    'file://~/.aws/credentials',
    'http://169.254.169.254/latest/meta-data/iam/security-credentials/',
    '--endpoint-url=https://evil.example/',
  ])("repeats nothing of the hook's metadata %s, and prints no command that would lose it", async (text) => {
    const hook = { ...HOOK, DefaultResult: 'ABANDON', HeartbeatTimeout: 200, NotificationMetadata: text };
    for (const each of [hook, { ...hook, LifecycleHookName: 'theirs', RoleARN: `${ROLE}-2` }]) {
      givenHooks('web', each);
      for (const args of [STACK, [...STACK, '--json']]) {
        const { code, out, err } = await runCheck(args);
        expect(code).toBe(1);
        expect([...out, ...err].join('\n')).not.toMatch(/aws autoscaling|:\/\/|credentials|evil/);
      }
      expect(await placesIn('broken')).toContain('web: terminating hook');
    }
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
    [['--stack', 'drain', '--drill', 'i-00000001'], 'there is no terminal; --yes skips the question'],
  ])('refuses %j', async (args, reason) => {
    await expect(runCheck(args)).rejects.toThrow(reason);
    for (const client of Object.values(aws)) expect(client.calls()).toHaveLength(0);
  });

  test('shows its options', async () => {
    expect(await runCheck(['--help'])).toMatchObject({
      code: 0,
      out: expect.arrayContaining([expect.stringContaining('--haproxy SOURCE')]),
    });
  });

  test('prints no links when it is interrupted', async () => {
    const interruption = new AbortController();
    aws.sns.on(GetTopicAttributesCommand).callsFake(() => interruption.abort(new Error('interrupted')));
    await expect(runCheck(STACK, {}, interruption.signal)).rejects.toThrow('interrupted');
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

  test('passes on what CloudFormation says against the name of the stack', async () => {
    aws.cloudFormation.on(DescribeStacksCommand).rejects(awsError('ValidationError', 'the name is too long'));
    await expect(runCheck(STACK)).rejects.toThrow('the name is too long');
  });

  test('refuses an endpoint that is no URL of http', async () => {
    vi.stubEnv('AWS_ENDPOINT_URL', 'localhost:5602');
    await expect(runCheck(STACK)).rejects.toThrow('AWS_ENDPOINT_URL is "localhost:5602"; expected http://');
  });

  test('refuses an answer without a list of stacks, such as a page of HTML', async () => {
    aws.cloudFormation.on(DescribeStacksCommand).resolves({ $metadata: { httpStatusCode: 200 } });
    await expect(runCheck(STACK)).rejects.toThrow('the answer has no list of stacks');
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
