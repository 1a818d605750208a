import { EC2Client } from '@aws-sdk/client-ec2';
import { mockClient } from 'aws-sdk-client-mock';
import { describe, expect, it } from 'vitest';
import { event } from './helpers/event.ts';
import { coldStart } from './helpers/invoke.ts';
import { actionsOf, allows, type PolicyDocument, type Request, type Statement } from './helpers/policy.ts';
import { deploy, ofType, propertiesOf, type Stack } from './helpers/stack.ts';

interface Role {
  readonly AssumeRolePolicyDocument: PolicyDocument;
  readonly Policies: readonly { readonly PolicyDocument: PolicyDocument | string }[];
  readonly ManagedPolicyArns?: readonly string[];
}

/** What a role may do; one of the documents is a JSON text. */
function permissionsOf(stack: Stack, id: string): Statement[] {
  return propertiesOf<Role>(stack, id).Policies.flatMap(({ PolicyDocument: document }) => {
    const { Version, Statement } = (typeof document === 'string' ? JSON.parse(document) : document) as PolicyDocument;
    expect(Version).toBe('2012-10-17');
    return Statement;
  });
}

function trustOf(stack: Stack, id: string): readonly Statement[] {
  return propertiesOf<Role>(stack, id).AssumeRolePolicyDocument.Statement;
}

const stack = deploy();
const permissions = permissionsOf(stack, 'FunctionRole');

interface SentTags {
  readonly Resources: readonly string[];
  readonly Tags: readonly { readonly Key: string; readonly Value: string }[];
}

const MEMBER = { 'aws:ResourceTag/aws:autoscaling:groupName': 'web' };

/** The calls that the function sends for an instance that leaves and for one that comes back, as IAM sees them. */
async function sent(environment: Record<string, string> = {}): Promise<Request[]> {
  const ec2 = mockClient(EC2Client);
  const invoke = await coldStart(environment);
  for (const name of ['terminating', 'launching-from-warm-pool']) await invoke(event(name));
  return ec2.calls().map(({ args: [command] }) => {
    const { Resources, Tags } = command.input as SentTags;
    const creates = command.constructor.name === 'CreateTagsCommand';
    return {
      action: `ec2:${command.constructor.name.replace(/Command$/, '')}`,
      resource: `arn:aws:ec2:us-west-2:123456789012:instance/${Resources.join()}`,
      context: {
        ...MEMBER,
        'aws:TagKeys': Tags.map(({ Key }) => Key),
        // Not known of DeleteTags.
        ...(creates && Object.fromEntries(Tags.map(({ Key, Value }) => [`aws:RequestTag/${Key}`, Value]))),
      },
    };
  });
}

describe("the function's role", () => {
  it('allows the calls of EC2 that the function sends, and has no other action of EC2', async () => {
    const requests = await sent();
    expect(requests.map((request) => allows(permissions, request))).toEqual([true, true]);
    const actions = actionsOf(permissions).filter((action) => action.startsWith('ec2:'));
    expect(actions.sort()).toEqual(requests.map(({ action }) => action).sort());
  });

  it('follows the tag of the parameters', async () => {
    const requests = await sent({ TAG_KEY: 'lb/drain', TAG_VALUE: 'now' });
    const other = permissionsOf(deploy({ TagKey: 'lb/drain', TagValue: 'now' }), 'FunctionRole');
    expect(requests.map((request) => allows(other, request))).toEqual([true, true]);
    expect(requests.map((request) => allows(permissions, request))).toEqual([false, false]);
  });

  it.each(['ec2:CreateTags', 'ec2:DeleteTags'])(
    '%s is for the one tag on members of an Auto Scaling group of this account',
    (action) => {
      const base = {
        action,
        resource: 'arn:aws:ec2:eu-west-1:123456789012:instance/i-05629ab7d9287e205',
        context: { ...MEMBER, 'aws:TagKeys': ['remove_from_lb'], 'aws:RequestTag/remove_from_lb': 'yes' },
      };
      const { 'aws:ResourceTag/aws:autoscaling:groupName': _, ...noGroup } = base.context;
      expect(allows(permissions, base)).toBe(true);
      const others: Record<string, Request> = {
        'no tag named': { ...base, context: MEMBER },
        'one tag more': { ...base, context: { ...base.context, 'aws:TagKeys': ['remove_from_lb', 'Name'] } },
        'another case': { ...base, context: { ...base.context, 'aws:TagKeys': ['REMOVE_FROM_LB'] } },
        'no member of a group': { ...base, context: noGroup },
        'no instance': { ...base, resource: 'arn:aws:ec2:eu-west-1:123456789012:volume/vol-05629ab7d9287e205' },
        'another account': { ...base, resource: 'arn:aws:ec2:eu-west-1:210987654321:instance/i-05629ab7d9287e205' },
      };
      for (const [name, request] of Object.entries(others)) expect(allows(permissions, request), name).toBe(false);
    },
  );

  it('sets that value only', () => {
    const context = { ...MEMBER, 'aws:TagKeys': ['remove_from_lb'] };
    const resource = 'arn:aws:ec2:us-west-2:123456789012:instance/i-05629ab7d9287e205';
    for (const value of ['no', 'YES', '']) {
      const request = {
        action: 'ec2:CreateTags',
        resource,
        context: { ...context, 'aws:RequestTag/remove_from_lb': value },
      };
      expect(allows(permissions, request), value).toBe(false);
    }
    expect(allows(permissions, { action: 'ec2:CreateTags', resource, context })).toBe(false);
  });

  it('writes to its own log, sends to its own queue, and does nothing else', () => {
    const others = permissions.filter((statement) => !actionsOf([statement]).every((name) => name.startsWith('ec2:')));
    expect(others.map(({ Action, Resource }) => ({ Action, Resource }))).toEqual([
      { Action: ['logs:CreateLogStream', 'logs:PutLogEvents'], Resource: 'LogGroup.Arn' },
      { Action: 'sqs:SendMessage', Resource: 'FailureQueue.Arn' },
    ]);
    expect(propertiesOf(stack, 'Function')).toMatchObject({
      Role: 'FunctionRole.Arn',
      LoggingConfig: { LogGroup: 'LogGroup' },
    });
  });

  it('is for Lambda', () => {
    expect(trustOf(stack, 'FunctionRole')).toEqual([
      { Effect: 'Allow', Principal: { Service: 'lambda.amazonaws.com' }, Action: 'sts:AssumeRole' },
    ]);
  });
});

const EXISTING_TOPIC = 'arn:aws:sns:us-west-2:123456789012:existing';

describe.each([
  ['a topic of its own', stack, 'Topic'],
  ['an existing topic', deploy({ TopicArn: EXISTING_TOPIC }), EXISTING_TOPIC],
])('with %s', (_, made, topic) => {
  it("the hook's role publishes to it and does nothing else, for Auto Scaling on behalf of this account", () => {
    expect(permissionsOf(made, 'HookRole')).toEqual([{ Effect: 'Allow', Action: 'sns:Publish', Resource: topic }]);
    expect(trustOf(made, 'HookRole')).toEqual([
      {
        Effect: 'Allow',
        Principal: { Service: 'autoscaling.amazonaws.com' },
        Action: 'sts:AssumeRole',
        Condition: { StringEquals: { 'aws:SourceAccount': '123456789012' } },
      },
    ]);
  });

  it('the failure queue takes messages from it and from no other topic', () => {
    const [policy, ...others] = Object.values(
      ofType<{ Queues: string[]; PolicyDocument: PolicyDocument }>(made, 'AWS::SQS::QueuePolicy'),
    );
    expect(others).toEqual([]);
    expect(policy?.Queues).toEqual(['FailureQueue']);
    const statements = policy?.PolicyDocument.Statement ?? [];
    expect(statements.map(({ Principal }) => Principal)).toEqual([{ Service: 'sns.amazonaws.com' }]);
    const send = { action: 'sqs:SendMessage', resource: 'FailureQueue.Arn' };
    const from = (source: string) => allows(statements, { ...send, context: { 'aws:SourceArn': source } });
    expect([from(topic), from('arn:aws:sns:us-west-2:123456789012:other'), allows(statements, send)]).toEqual([
      true,
      false,
      false,
    ]);
    expect(actionsOf(statements)).toEqual(['sqs:SendMessage']);
  });
});

describe('with an encrypted topic', () => {
  const TopicKeyArn = 'arn:aws:kms:us-west-2:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab';

  it("the hook's role uses its key to publish, and this one key only", () => {
    const [publish, ...others] = permissionsOf(deploy({ TopicArn: EXISTING_TOPIC, TopicKeyArn }), 'HookRole');
    expect(publish).toMatchObject({ Action: 'sns:Publish' });
    expect(others).toEqual([
      { Effect: 'Allow', Action: ['kms:GenerateDataKey*', 'kms:Decrypt'], Resource: TopicKeyArn },
    ]);
  });

  it('the key is of no use to the topic that the stack makes, which is not encrypted with it', () => {
    expect(permissionsOf(deploy({ TopicKeyArn }), 'HookRole')).toEqual(permissionsOf(stack, 'HookRole'));
  });
});

it('no role has permissions from anywhere else', () => {
  const roles = ofType<Role>(deploy({ AutoScalingGroupName: 'web' }), 'AWS::IAM::Role');
  expect(Object.keys(roles)).toEqual(['FunctionRole', 'HookRole']);
  for (const role of Object.values(roles)) expect(role.ManagedPolicyArns).toBeUndefined();
  const policies = Object.values(stack.resources).filter(({ Type }) => /^AWS::IAM::.*Policy$/.test(Type));
  expect(policies).toEqual([]);
});
