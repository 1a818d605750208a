import { describe, expect, it } from 'vitest';
import { DEFAULT_TAG } from '../src/settings.ts';
import { calls, ec2 } from './helpers/ec2.ts';
import { event } from './helpers/event.ts';
import { coldStart } from './helpers/invoke.ts';
import { ARNS, type Call, type PolicyDocument, policiesOf, type Role, roleMay, serviceMay } from './helpers/policy.ts';
import { deploy, ofType, propertiesOf, type Stack } from './helpers/stack.ts';

function actionsOf(stack: Stack, role: string): string[] {
  return policiesOf(stack, role).flatMap(({ Statement }) => Statement.flatMap(({ Action }) => Action));
}

function trustOf(stack: Stack, role: string) {
  return propertiesOf<Role>(stack, role).AssumeRolePolicyDocument.Statement;
}

const EXISTING_TOPIC = 'arn:aws:sns:us-west-2:123456789012:existing';
const stack = deploy();
const policies = policiesOf(stack, 'FunctionRole');

const INSTANCE = 'arn:aws:ec2:us-west-2:123456789012:instance/i-05629ab7d9287e205';
const MEMBER = { 'aws:ResourceTag/aws:autoscaling:groupName': 'web' };

/** The context of a call about one tag. */
function tagging(key: string, value: string) {
  return { 'aws:TagKeys': [key], [`aws:RequestTag/${key}`]: value };
}

/** The calls that the function sends for an instance that leaves and for one that comes back, as IAM sees them. */
async function sentCalls(environment: Record<string, string> = {}): Promise<Call[]> {
  ec2.resetHistory();
  const invoke = await coldStart(environment);
  for (const name of ['terminating', 'launching-from-warm-pool']) await invoke(event(name));
  return calls().map(({ command, input }) => {
    const { Resources, Tags } = input as { Resources: string[]; Tags: { Key: string; Value: string }[] };
    return {
      action: `ec2:${command.replace(/Command$/, '')}`,
      resource: `arn:aws:ec2:us-west-2:123456789012:instance/${Resources.join()}`,
      context: Object.assign({ ...MEMBER }, ...Tags.map(({ Key, Value }) => tagging(Key, Value))),
    };
  });
}

const judge = (calls: Call[], documents = policies) => Promise.all(calls.map((call) => roleMay(documents, call)));

describe("the function's role", () => {
  it('allows the EC2 calls that the function sends, with the tag of the parameters', async () => {
    expect(await judge(await sentCalls())).toEqual([true, true]);
    const sent = await sentCalls({ TAG_KEY: 'lb/drain', TAG_VALUE: 'now' });
    const other = policiesOf(deploy({ TagKey: 'lb/drain', TagValue: 'now' }), 'FunctionRole');
    expect(await judge(sent, other)).toEqual([true, true]);
    expect(await judge(sent)).toEqual([false, false]);
  });

  const { key, value } = DEFAULT_TAG;
  it.each(['ec2:CreateTags', 'ec2:DeleteTags'])(
    '%s is allowed for this one tag on members of Auto Scaling groups only',
    async (action) => {
      const allowed = { action, resource: INSTANCE, context: { ...MEMBER, ...tagging(key, value) } };
      const refused: Record<string, Call> = {
        'no tag': { ...allowed, context: MEMBER },
        'one tag more': { ...allowed, context: { ...allowed.context, 'aws:TagKeys': [key, 'Name'] } },
        'another case': { ...allowed, context: { ...MEMBER, ...tagging(key.toUpperCase(), value) } },
        'no member of a group': { ...allowed, context: tagging(key, value) },
        'another region': { ...allowed, resource: INSTANCE.replace('us-west-2', 'eu-west-1') },
        'a volume': { ...allowed, resource: 'arn:aws:ec2:us-west-2:123456789012:volume/vol-05629ab7d9287e205' },
      };
      expect(await roleMay(policies, allowed)).toBe(true);
      for (const [name, call] of Object.entries(refused)) expect(await roleMay(policies, call), name).toBe(false);
    },
  );

  it.each([
    [{}, ['web', 'api', 'payments'], []],
    [{ TaggedGroupNames: 'web, api' }, ['web', 'api'], ['payments', 'we', 'web-2', 'WEB']],
    // The group that has the stack's hook cannot be forgotten, whatever characters are in its name.
    [{ TaggedGroupNames: 'api', AutoScalingGroupName: 'a,"b"\\*' }, ['api', 'a,"b"\\*'], ['payments', 'a', 'a,"b"\\c']],
    [{ TaggedGroupNames: ',', AutoScalingGroupName: 'web' }, ['web'], ['payments']],
    [{ AutoScalingGroupName: 'web' }, ['web', 'payments'], []],
  ])('with %j, changes the tag of members of %j, not of %j', async (parameters, allowed, refused) => {
    const limited = policiesOf(deploy(parameters), 'FunctionRole');
    for (const action of ['ec2:CreateTags', 'ec2:DeleteTags']) {
      const may = (group: string) => {
        const context = { 'aws:ResourceTag/aws:autoscaling:groupName': group, ...tagging(key, value) };
        return roleMay(limited, { action, resource: INSTANCE, context });
      };
      for (const group of allowed) expect(await may(group), `${action} ${group}`).toBe(true);
      for (const group of refused) expect(await may(group), `${action} ${group}`).toBe(false);
      expect(await roleMay(limited, { action, resource: INSTANCE, context: tagging(key, value) })).toBe(false);
    }
  });

  it.each(['no', value.toUpperCase(), ''])('does not set the value "%s"', async (other) => {
    const context = { ...MEMBER, ...tagging(key, other) };
    expect(await roleMay(policies, { action: 'ec2:CreateTags', resource: INSTANCE, context })).toBe(false);
  });

  it('writes to its own log, sends to its own queue, and does nothing else', async () => {
    const stream = ARNS['LogGroup.Arn'].replace('*', 'log-stream:one');
    expect(
      await judge([
        { action: 'logs:CreateLogStream', resource: stream },
        { action: 'logs:PutLogEvents', resource: stream },
        { action: 'sqs:SendMessage', resource: ARNS['FailureQueue.Arn'] },
        { action: 'logs:PutLogEvents', resource: stream.replace('LogGroup', 'other') },
        { action: 'sqs:SendMessage', resource: `${ARNS['FailureQueue.Arn']}-other` },
      ]),
    ).toEqual([true, true, true, false, false]);
    const actions = [
      'ec2:CreateTags',
      'ec2:DeleteTags',
      'logs:CreateLogStream',
      'logs:PutLogEvents',
      'sqs:SendMessage',
    ];
    expect(actionsOf(stack, 'FunctionRole')).toEqual(actions);
  });

  it('is for Lambda, which takes the role for the function', () => {
    expect(trustOf(stack, 'FunctionRole')).toEqual([
      { Effect: 'Allow', Principal: { Service: 'lambda.amazonaws.com' }, Action: 'sts:AssumeRole' },
    ]);
    expect(propertiesOf(stack, 'Function')).toMatchObject({ Role: 'FunctionRole.Arn' });
  });
});

describe.each([
  ['a topic of its own', stack, ARNS.Topic],
  ['an existing topic', deploy({ TopicArn: EXISTING_TOPIC }), EXISTING_TOPIC],
])('with %s', (_, made, topic) => {
  it("the hook's role publishes to this topic and does nothing else, for groups of this account", async () => {
    const publish = (resource: string) => roleMay(policiesOf(made, 'HookRole'), { action: 'sns:Publish', resource });
    expect([await publish(topic), await publish(`${topic}-other`)]).toEqual([true, false]);
    expect(actionsOf(made, 'HookRole')).toEqual(['sns:Publish']);
    expect(trustOf(made, 'HookRole')).toEqual([
      {
        Effect: 'Allow',
        Principal: { Service: 'autoscaling.amazonaws.com' },
        Action: 'sts:AssumeRole',
        Condition: { StringEquals: { 'aws:SourceAccount': '123456789012' } },
      },
    ]);
  });

  it('the failure queue takes messages from this topic only', async () => {
    const { PolicyDocument: policy, ...others } = propertiesOf<{ PolicyDocument: PolicyDocument }>(
      made,
      'FailureQueuePolicy',
    );
    expect(others).toEqual({ Queues: ['FailureQueue'] });
    const resource = ARNS['FailureQueue.Arn'];
    const from = (source: string, service = 'sns.amazonaws.com', action = 'sqs:SendMessage') =>
      serviceMay(service, policy, { action, resource, context: { 'aws:SourceArn': source } });
    expect(await from(topic)).toBe(true);
    expect(await from(`${topic}-other`)).toBe(false);
    expect(await from(topic, 'events.amazonaws.com')).toBe(false);
    expect(await from(topic, 'sns.amazonaws.com', 'sqs:ReceiveMessage')).toBe(false);
  });
});

describe("the stack's topic", () => {
  const { Topics, PolicyDocument: resourcePolicy } = propertiesOf<{ Topics: unknown; PolicyDocument: PolicyDocument }>(
    stack,
    'TopicPolicy',
  );
  const anyTopic = { Version: '2012-10-17', Statement: [{ Effect: 'Allow', Action: 'sns:*', Resource: '*' }] };
  const publish: Call = { action: 'sns:Publish', resource: ARNS.Topic };
  const may = (role: string, call = publish) => roleMay([anyTopic], call, { resourcePolicy, role });
  const linkedRole = 'aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling';

  it('takes messages from the hook role', async () => {
    expect(Topics).toEqual(['Topic']);
    expect(await roleMay(policiesOf(stack, 'HookRole'), publish, { resourcePolicy })).toBe(true);
  });

  // The managed policy of these roles allows sns:Publish.
  it.each([linkedRole, `${linkedRole}_web`])('takes messages from %s', async (role) => {
    expect(await may(role)).toBe(true);
  });

  it.each([
    'workload',
    'remove-from-lb-FunctionRole-1A2B',
    'remove-from-lb-HookRole-3C4D',
    'AWSServiceRoleForAutoScaling',
    'team/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling',
    'aws-service-role/events.amazonaws.com/AWSServiceRoleForAutoScaling',
    `${linkedRole}Other`,
  ])('takes no message from %s, which may publish to every topic', async (role) => {
    expect(await may(role, { ...publish, resource: `${ARNS.Topic}-other` })).toBe(true);
    expect(await may(role)).toBe(false);
  });

  it.each(['cloudwatch.amazonaws.com', 'events.amazonaws.com', 's3.amazonaws.com', 'autoscaling.amazonaws.com'])(
    'takes no message from the service %s, also when another statement allows the service',
    async (service) => {
      const Statement = [{ Effect: 'Allow', Principal: { Service: service }, Action: 'sns:Publish', Resource: '*' }];
      const open = { ...resourcePolicy, Statement };
      expect(await serviceMay(service, open, publish)).toBe(true);
      const both = { ...resourcePolicy, Statement: [...Statement, ...resourcePolicy.Statement] };
      expect(await serviceMay(service, both, publish)).toBe(false);
    },
  );

  it.each(['sns:SetTopicAttributes', 'sns:Subscribe', 'sns:DeleteTopic'])(
    'is administered by roles of the account that may call %s',
    async (action) => expect(await may('administrator', { ...publish, action })).toBe(true),
  );
});

it('a topic that exists keeps its policy', () => {
  expect(ofType(deploy({ TopicArn: EXISTING_TOPIC }), 'AWS::SNS::TopicPolicy')).toEqual({});
});

describe('with an encrypted topic', () => {
  const TopicKeyArn = 'arn:aws:kms:us-west-2:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab';
  const encrypted = deploy({ TopicArn: EXISTING_TOPIC, TopicKeyArn });

  it.each(['kms:GenerateDataKey', 'kms:Decrypt'])("the hook's role may call %s with this key only", async (action) => {
    // The usual key policy, with which the account's IAM policies decide.
    const Principal = { AWS: 'arn:aws:iam::123456789012:root' };
    const Statement = [{ Effect: 'Allow', Principal, Action: 'kms:*', Resource: '*' }];
    const resourcePolicy = { Version: '2012-10-17', Statement };
    const may = (resource: string) =>
      roleMay(policiesOf(encrypted, 'HookRole'), { action, resource }, { resourcePolicy });
    expect(await may(TopicKeyArn)).toBe(true);
    expect(await may(TopicKeyArn.replace('1234abcd', '0000abcd'))).toBe(false);
    expect(actionsOf(encrypted, 'HookRole')).toEqual(['sns:Publish', 'kms:GenerateDataKey*', 'kms:Decrypt']);
  });

  it("the hook's role may use no key for the topic that the stack makes", () => {
    expect(policiesOf(deploy({ TopicKeyArn }), 'HookRole')).toEqual(policiesOf(stack, 'HookRole'));
  });
});

it('the two roles have no permissions from anywhere else, and the permissions boundary of the parameter', () => {
  const rolesWith = (parameters = {}) => ofType<object>(deploy(parameters), 'AWS::IAM::Role');
  const roles = rolesWith();
  expect(Object.keys(roles)).toEqual(['FunctionRole', 'HookRole']);
  for (const role of Object.values(roles)) expect(Object.keys(role)).toEqual(['AssumeRolePolicyDocument', 'Policies']);
  const types = Object.values(stack.resources).map(({ Type }) => Type);
  expect(types.filter((type) => /^AWS::IAM::.*Policy$/.test(type))).toEqual([]);
  const PermissionsBoundary = 'arn:aws:iam::123456789012:policy/team/boundary';
  const limited = rolesWith({ PermissionsBoundaryArn: PermissionsBoundary });
  expect(limited).toMatchObject({ FunctionRole: { PermissionsBoundary }, HookRole: { PermissionsBoundary } });
});
