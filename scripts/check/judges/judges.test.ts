import { execFileSync } from 'node:child_process';
import type { AutoScalingGroup, LifecycleHook, LifecycleState } from '@aws-sdk/client-auto-scaling';
import { beforeAll, describe, expect, test } from 'vitest';
import { DEFAULT_TAG } from '../../../src/settings.ts';
import { makeClients } from '../clients.ts';
import { type Facts, readFacts } from '../facts/facts.ts';
import type { Group } from '../facts/groups.ts';
import { readCloudFormation, type Stack, stackOf } from '../facts/stack.ts';
import {
  CODE,
  FILTER,
  functionConfiguration,
  GROUP,
  givenHealthyChain,
  HOOK,
  inStates,
  KEY,
  keyPolicy,
  lambdaPolicy,
  policy,
  QUEUE,
  ROLE,
  roleTrusting,
  subscriptionAttributes,
  TAG_NAME,
  TOPIC,
  topicPolicy,
} from '../healthy-chain.ts';
import { judge } from './judges.ts';

let healthy: Facts;

beforeAll(async () => {
  givenHealthyChain();
  const clients = await makeClients(process.env, new AbortController().signal);
  const deployment = await readCloudFormation(clients, 'drain');
  healthy = await readFacts(clients, deployment, stackOf(deployment) as Stack, [], async () => CODE);
});

/** Facts that differ from those of the healthy chain. */
type Changes = Partial<Record<keyof Facts, unknown>>;

function judged(changes: Changes) {
  return judge({ ...healthy, ...changes } as Facts).map(({ link, group, ...finding }) => ({
    place: group === null ? link : `${group}: ${link}`,
    ...finding,
  }));
}

/** The group web, with changes. */
function web(changes: Partial<Group> = {}, found: object = {}): Changes {
  const group = { name: 'web', description: GROUP, hooks: [HOOK], notifications: [], refreshes: [], warmPool: [] };
  const groups = { isNamed: false, missing: [], others: [], notRead: [], ...found };
  return { groups: { examined: [{ ...group, ...changes }], ...groups } };
}

const described = (changes: Partial<AutoScalingGroup>) => ({ description: { ...GROUP, ...changes } });
const hooked = (...hooks: Partial<LifecycleHook>[]) => web({ hooks: hooks.map((hook) => ({ ...HOOK, ...hook })) });
const TAGGED = { tagged: new Set(['i-00000001']) };
const ofSize = (instances: number) => inState(...Array<LifecycleState>(instances).fill('InService'));
const inState = (...states: LifecycleState[]) => web(described({ Instances: inStates(...states) }));

const LAUNCHING = { LifecycleTransition: 'autoscaling:EC2_INSTANCE_LAUNCHING', LifecycleHookName: 'drain-launch' };
const RETURNING = { ...HOOK, ...LAUNCHING };
const LAUNCH_ABANDON = { ...LAUNCHING, HeartbeatTimeout: 30, DefaultResult: 'ABANDON' };
const OTHER = { LifecycleHookName: 'logs', NotificationTargetARN: undefined, RoleARN: undefined, HeartbeatTimeout: 60 };
const ABANDON = { ...OTHER, DefaultResult: 'ABANDON' };
const ABANDONED = { DefaultResult: 'ABANDON', HeartbeatTimeout: 200 };
const EVIL = { ...ABANDONED, NotificationMetadata: 'file://~/.aws/credentials' };
const OPTION = { ...ABANDONED, LifecycleHookName: '--no-verify-ssl' };
const FOREIGN = { LifecycleHookName: 'backup', RoleARN: 'x/y' };
const ASK_OWNER = "ask the hook's owner";
const REUSE = described({ WarmPoolConfiguration: { InstanceReusePolicy: { ReuseOnScaleIn: true } } });
const NO_REUSE = described({ WarmPoolConfiguration: {} });
const ANNOUNCED = { TopicARN: TOPIC, NotificationType: 'autoscaling:EC2_INSTANCE_LAUNCH' };
const NOT_ANNOUNCED = [
  { ...ANNOUNCED, TopicARN: `${TOPIC}-2` },
  { ...ANNOUNCED, NotificationType: 'autoscaling:X' },
];
const IMAGE = { MixedInstancesPolicy: { LaunchTemplate: { Overrides: [{}, { ImageId: 'ami-1' }] } } };
const NO_IMAGE = { MixedInstancesPolicy: { LaunchTemplate: { Overrides: [{}] } } };
const ROOT_VOLUME = [{ Strategy: 'Rolling' as const }, { Strategy: 'ReplaceRootVolume' as const }];
const RETAINING = { InstanceLifecyclePolicy: { RetentionTriggers: { TerminateHookAbandon: 'retain' as const } } };

const OUTPUTS = ['TopicArn', 'HookRoleArn', 'FunctionName', 'FailureQueueUrl'].map((OutputKey) => ({
  OutputKey,
  OutputValue: 'x',
}));

/** The stack in another status. */
function stack(StackStatus: string, Outputs = OUTPUTS, StackStatusReason?: string): Changes {
  const description = { StackStatus, StackStatusReason, Outputs };
  return { deployment: { name: 'drain', region: 'us-west-2', accountId: '1', similarStacks: [], description } };
}

const subscribed = (changes: Record<string, string | undefined>) => ({ subscription: subscriptionAttributes(changes) });
const lambda = (changes: object) => ({ function: { ...functionConfiguration(), ...changes } });
const events = (MaximumEventAgeInSeconds: number, Destination = QUEUE) => ({
  functionEvents: { MaximumEventAgeInSeconds, DestinationConfig: { OnFailure: { Destination } } },
});
const settings = (seconds: number) => ({ settings: { tag: DEFAULT_TAG, maxAgeMs: seconds * 1000 } });
const callable = (condition: object) => ({ functionPolicy: { Policy: lambdaPolicy(condition) } });
const TWO = { ApproximateNumberOfMessages: '2' };
const BEING_READ = { ApproximateNumberOfMessagesNotVisible: '1' };
const queued = (failureQueue: object, oldestMessage: unknown = 'absent') => ({ failureQueue, oldestMessage });
const reserved = (ReservedConcurrentExecutions: number) => ({ concurrency: { ReservedConcurrentExecutions } });
const account = (UnreservedConcurrentExecutions: number) => ({
  account: { AccountLimit: { UnreservedConcurrentExecutions } },
});
const key = (changes: object) => ({
  topic: { KmsMasterKeyId: 'alias/topic', Policy: '{}' },
  key: { KeyMetadata: { KeyId: 'key-1', Arn: KEY, KeyState: 'Enabled', KeyManager: 'CUSTOMER', ...changes } },
});

function simulated(EvalDecision: string, EvalActionName: string, MissingContextValues: string[] = []) {
  return { EvalActionName, EvalDecision, MissingContextValues };
}

/** The hook's role, with changes. */
function role(changes: object, arn = ROLE): Changes {
  const trusted = { Role: roleTrusting('autoscaling.amazonaws.com') };
  const facts = { role: trusted, publish: [simulated('allowed', 'sns:Publish')], useKey: 'absent' };
  return { roles: [{ arn, name: 'drain-HookRole-1', ...facts, ...changes }] };
}

/** The hook's role with another trust policy. */
const trust = (condition: object, service = 'autoscaling.amazonaws.com') =>
  role({ role: { Role: roleTrusting(service, condition) } });
const SAME_ACCOUNT = { StringEquals: { 'aws:SourceAccount': '123456789012' } };
const SAME_OWNER = { StringEquals: { 'AWS:SourceOwner': '123456789012' } };
const protectedFor = (arn: string, operator?: string) => ({ topic: { Policy: topicPolicy(arn, operator) } });
const unless = (operator: string) => ({ [operator]: { 'aws:PrincipalArn': ['x', '*:role/drain-HookRole-?'] } });
const ODD = { Condition: { Null: { x: 'true' } } };
const NO_ROLE = { role: 'absent', publish: { unreadable: 'NoSuchEntity' } };

/** IAM's decision about the role, and the topic's policy. */
function publishing(decision: string, statement: object = {}, missingContext: string[] = []): Changes {
  const publish = [simulated(decision, 'sns:Publish', missingContext)];
  return { ...role({ publish }), topic: { Policy: policy({ ...PUBLISH, ...statement }) } };
}

/** The topic's policy grants, but a limit of the role stands against the grant. */
function beyond(limit: object): Changes {
  return {
    ...publishing('implicitDeny'),
    ...role({ publish: [{ ...simulated('implicitDeny', 'sns:Publish'), ...limit }] }),
  };
}

/** IAM's decision about the role, and the key's policy. */
function decrypting(decision: string, principal: string, changes = {}): Changes {
  const useKey = [simulated('allowed', 'kms:GenerateDataKey'), simulated(decision, 'kms:Decrypt')];
  return { ...key({}), ...role({ useKey }), keyPolicy: { Policy: keyPolicy(principal, changes) } };
}

const ACCOUNT = 'arn:aws:iam::123456789012:root';
const PUBLISH = { Effect: 'Allow', Principal: { AWS: ['x', ROLE] }, Action: ['sns:X', 'SNS:Publish'] };
const DENY = { Effect: 'Deny', Principal: '*' };
const ELSEWHERE = { Principal: { AWS: `${ROLE}-2` } };

const DELETED = 'deleted outside CloudFormation: delete the stack and deploy again';
const CHANGED = 'changed outside CloudFormation: delete the stack and deploy again';
const DELETE_FIRST = 'delete the stack first, then deploy again';
const WHO_DENIES = 'find the policy that denies it';
const BY_HAND = (operation: string) => `call ${operation} by hand: the AWS CLI may not read the value`;
const OPERATE = 'docs/operate.md shows how';

/** The command that puts a hook on the group. */
function put(name: string, seconds: number, transition = 'TERMINATING'): string {
  return `aws autoscaling put-lifecycle-hook --region us-west-2 --lifecycle-hook-name ${name} --lifecycle-transition autoscaling:EC2_INSTANCE_${transition} --heartbeat-timeout ${seconds} --default-result CONTINUE --notification-target-arn ${TOPIC} --role-arn ${ROLE} --auto-scaling-group-name web`;
}

function tag(change: 'create' | 'delete', instance: number): string {
  return `aws ec2 ${change}-tags --region us-west-2 --resources i-0000000${instance} --tags `;
}

const PUT = put('drain', 300);
const PUT_LAUNCHING = put('drain-launch', 30, 'LAUNCHING');
const DELETE_LIMIT = 'aws lambda delete-function-concurrency --region us-west-2 --function-name drain-Function-1';

/** Facts that differ, the link that they break, its finding, and how to fix it. */
const BROKEN: readonly [changes: Changes, place: string, finding: string, fix: string][] = [
  [stack('UPDATE_ROLLBACK_FAILED', OUTPUTS, 'no right'), 'stack', 'FAILED (no right): ', 'then continue the rollback'],
  [stack('IMPORT_ROLLBACK_COMPLETE'), 'stack', 'IMPORT_ROLLBACK_COMPLETE: ', 'remove the reason, then deploy again'],
  [stack('DELETE_FAILED'), 'stack', 'DELETE_FAILED: the next scale-in sets no tag', DELETE_FIRST],
  [stack('ROLLBACK_COMPLETE', []), 'stack', 'ROLLBACK_COMPLETE: the next scale-in sets no tag', DELETE_FIRST],
  [stack('ROLLBACK_FAILED', []), 'stack', 'ROLLBACK_FAILED', DELETE_FIRST],
  [stack('CREATE_FAILED', []), 'stack', 'CREATE_FAILED', DELETE_FIRST],
  [stack('CREATE_COMPLETE', OUTPUTS.slice(0, 3)), 'stack', 'lacks the outputs FailureQueueUrl', 'the right --stack'],
  [{ topic: 'absent' }, 'topic', `${TOPIC} does not exist: the next scale-in sets no tag`, DELETED],
  [key({ KeyState: 'Disabled' }), 'topic key', 'key-1 is Disabled: nobody can publish', 'ask the owner of the key'],
  [{ ...key({}), key: 'absent' }, 'topic key', 'alias/topic does not exist', 'set a key that exists'],
  [{ subscription: 'absent' }, 'subscription', 'the function is not subscribed', DELETED],
  [subscribed({ PendingConfirmation: 'true' }), 'subscription', 'not confirmed', DELETED],
  [subscribed({ FilterPolicy: '{"Event":["x"]}' }), 'subscription filter', '{"Event":["x"]} is', 'up to 15 min'],
  [subscribed({ FilterPolicyScope: undefined }), 'subscription filter', 'on MessageAttributes', 'deploy this checkout'],
  [subscribed({ FilterPolicy: undefined }), 'subscription filter', 'no filter', 'deploy this checkout'],
  [subscribed({ RedrivePolicy: undefined }), 'subscription redrive', 'none: nobody sees', CHANGED],
  [subscribed({ RedrivePolicy: '{"deadLetterTargetArn":"q"}' }), 'subscription redrive', 'to q, not to', CHANGED],
  [{ function: 'absent', settings: 'absent' }, 'function', 'drain-Function-1 does not exist', DELETED],
  [lambda({ State: 'Failed', StateReason: 'net' }), 'function', '(net): the next scale-in may', 'remove the'],
  [lambda({ LastUpdateStatus: 'Failed' }), 'function', 'the version before the update still runs', 'deploy again'],
  [{ settings: { invalid: 'TAG_KEY is bad' } }, 'function settings', 'TAG_KEY is bad: every call fails', CHANGED],
  [lambda({ CodeSha256: 'b3RoZXI=' }), 'function code', `CodeSha256 is b3RoZXI=, the bundle's is ${CODE}`, 'deploy'],
  [{ functionPolicy: 'absent' }, 'function permission', 'the topic may not call the function', DELETED],
  [callable({ ArnLike: { 'aws:SourceArn': 'other' } }), 'function permission', 'the topic may not call', DELETED],
  [{ functionEvents: {} }, 'function events', 'retried for up to 21600 s, then lost', CHANGED],
  [events(300, 'other'), 'function events', 'then sent to other, not to the failure queue', CHANGED],
  [{ functionEvents: 'absent' }, 'function events', 'an event that fails is lost', DELETED],
  [queued(TWO, { value: 640 }), 'failure queue', '2 given up, the oldest at least 640', OPERATE],
  [queued(BEING_READ), 'failure queue', '1 given up, the oldest of unknown age', OPERATE],
  [{ failureQueue: 'absent' }, 'failure queue', 'drain-FailureQueue-1 does not exist', DELETED],
  [
    web({}, { examined: [], others: ['a'] }),
    'groups',
    'no group has a hook to the topic (a)',
    'put the hook on each group: docs/deploy.md shows how',
  ],
  [web({}, { missing: ['shop'] }), 'shop: group', 'us-west-2 has no group shop', '(AutoScalingGroupName)'],
  [web({}, { missing: ['shop'], isNamed: true }), 'shop: group', 'us-west-2 has no', 'leave out --group'],
  [hooked(), 'web: terminating hook', 'none to the topic: the next scale-in sets no tag', PUT],
  [hooked(LAUNCHING, OTHER), 'web: terminating hook', 'none to the topic', PUT],
  [hooked({ RoleARN: undefined }), 'web: terminating hook', 'no role: the next scale-in sets no tag', PUT],
  [hooked(ABANDONED), 'web: terminating hook', 'drain, timeout 200 s, default result ABANDON', put('drain', 200)],
  [hooked(EVIL), 'web: terminating hook', 'drain, timeout 200 s', 'keep its NotificationMetadata'],
  [hooked(OPTION), 'web: terminating hook', '--no-verify-ssl, timeout', BY_HAND('autoscaling put-lifecycle-hook')],
  [hooked({}, ABANDON), 'web: other terminating hook', 'after 60 s instead of 300 s', 'timeout above 300 s'],
  [hooked({}, { ...ABANDON, HeartbeatTimeout: 300 }), 'web: other terminating hook', '300 s instead', 'ask'],
  [hooked({}, { ...OTHER, DefaultResult: undefined }), 'web: other terminating hook', 'ABANDON', 'ask'],
  [hooked({}, LAUNCH_ABANDON), 'web: launching hook', 'terminates every new', PUT_LAUNCHING],
  [hooked({}, { ...LAUNCH_ABANDON, ...FOREIGN }), 'web: launching hook', 'terminates every new', ASK_OWNER],
  [hooked({ ...EVIL, ...FOREIGN }), 'web: terminating hook', 'backup, timeout 200 s', ASK_OWNER],
  [{ ...hooked(FOREIGN), ...role(NO_ROLE, 'x/y') }, 'web: hook role', 'x/y does not exist', ASK_OWNER],
  [trust({}, 'lambda.amazonaws.com'), 'web: hook role', 'Auto Scaling may not assume drain-HookRole-1', CHANGED],
  [trust({ StringEquals: { 'aws:SourceAccount': '9' } }), 'web: hook role', 'not assume', CHANGED],
  [role(NO_ROLE), 'web: hook role', `${ROLE} does not exist`, DELETED],
  [{ ...hooked({ RoleARN: 'x/y' }), ...role(NO_ROLE, 'x/y') }, 'web: hook role', 'x/y does not exist', PUT],
  [
    {
      ...web({
        hooks: [
          { ...HOOK, RoleARN: 'x/y' },
          { ...RETURNING, RoleARN: 'x/y' },
        ],
      }),
      ...role(NO_ROLE, 'x/y'),
    },
    'web: hook role',
    'x/y does not exist',
    `${PUT} && ${put('drain-launch', 300, 'LAUNCHING')}`,
  ],
  [protectedFor(`${ROLE}-2`), 'web: publish to topic', 'drain-HookRole-1 may not sns:Publish: ', WHO_DENIES],
  [protectedFor(`${ROLE}-2`, 'ArnNotEquals'), 'web: publish to topic', 'may not sns:Publish', WHO_DENIES],
  [protectedFor(`${ROLE}-2`, 'ArnNotLikeIfExists'), 'web: publish to topic', 'may not sns:Publish', WHO_DENIES],
  [publishing('explicitDeny'), 'web: publish to topic', 'drain-HookRole-1 may not sns:Publish: ', WHO_DENIES],
  [publishing('allowed', DENY), 'web: publish to topic', 'may not sns:Publish', WHO_DENIES],
  [publishing('allowed', { ...DENY, Principal: { AWS: ACCOUNT } }), 'web: publish to topic', 'may not', WHO_DENIES],
  // Here, the pattern is a name.
  [
    publishing('allowed', { ...DENY, Condition: unless('StringNotEquals') }),
    'web: publish to topic',
    'may',
    WHO_DENIES,
  ],
  [
    publishing('implicitDeny', ELSEWHERE),
    'web: publish to topic',
    'may not sns:Publish',
    'allow it in the policy of the topic',
  ],
  [
    decrypting('implicitDeny', ACCOUNT),
    'web: use of topic key',
    'may not kms:Decrypt: ',
    'allow it in the policy of the key',
  ],
  [decrypting('explicitDeny', ROLE), 'web: use of topic key', 'may not kms:Decrypt', WHO_DENIES],
  [decrypting('allowed', `${ROLE}-2`), 'web: use of topic key', 'kms:GenerateDataKey, kms:Decrypt', 'allow it in'],
  [decrypting('allowed', ACCOUNT, DENY), 'web: use of topic key', 'kms:GenerateDataKey, kms:Decrypt', WHO_DENIES],
  [
    { ...hooked({ HeartbeatTimeout: 900 }), ...events(900) },
    'web: waiting time',
    'the hook waits 900 s, but HEARTBEAT_TIMEOUT is 300 s: a message after that sets no tag',
    `aws cloudformation update-stack --region us-west-2 --stack-name drain --use-previous-template --capabilities CAPABILITY_IAM --parameters ParameterKey=AutoScalingGroupName,UsePreviousValue=true ParameterKey=HeartbeatTimeout,ParameterValue=900 `,
  ],
  [settings(60), 'web: waiting time', 'the hook waits 300 s, but HEARTBEAT_TIMEOUT is 60 s', CHANGED],
  [
    events(60),
    'web: waiting time',
    'but Lambda drops events after 60 s',
    'aws lambda update-function-event-invoke-config --region us-west-2 --function-name drain-Function-1 --maximum-event-age-in-seconds 300',
  ],
  [
    web({ ...REUSE, notifications: NOT_ANNOUNCED }),
    'web: return to service',
    'no message about returns',
    'docs/deploy.md',
  ],
  [web({ refreshes: ROOT_VOLUME }), 'web: root volume replacement', 'an instance refresh', PUT_LAUNCHING],
  [web(described(IMAGE)), 'web: root volume replacement', 'override has an image', PUT_LAUNCHING],
  [{ ...reserved(1), ...ofSize(11) }, 'web: concurrency', '1 copies reserved, 11 instances in the group', DELETE_LIMIT],
  [{ ...reserved(5), ...ofSize(101) }, 'web: concurrency', '5 copies reserved, 101 instances', DELETE_LIMIT],
  [reserved(0), 'web: concurrency', '0 copies reserved, 2 instances in the group: the next', DELETE_LIMIT],
  [{ ...reserved(0), ...inState() }, 'web: concurrency', '0 copies reserved, 0 instances', DELETE_LIMIT],
  [
    { ...account(1), ...ofSize(11) },
    'web: concurrency',
    '1 copies for all functions of the account',
    'request a higher quota',
  ],
  [TAGGED, 'web: in service', `1 of 2 instances with ${TAG_NAME}`, tag('delete', 1)],
  [
    { ...inState('Terminating:Wait', 'Terminating:Wait'), ...TAGGED },
    'web: waiting to leave',
    `1 of 2 instances without ${TAG_NAME} (i-00000002)`,
    tag('create', 2),
  ],
  [inState('ReplacingRootVolume:Wait'), 'web: waiting to leave', '1 of 1 instance without', tag('create', 1)],
  ...(['Terminating:Retained', 'Warmed:Pending:Retained', 'Warmed:Terminating:Retained'] as const).map(
    (state): (typeof BROKEN)[number] => [inState(state), 'web: waiting to leave', '1 of 1', tag('create', 1)],
  ),
  [
    web({ ...REUSE, notifications: [ANNOUNCED], warmPool: inStates('Warmed:Stopped', 'Warmed:Pending:Wait') }),
    'web: waiting to leave',
    '1 of 1 instance without',
    tag('create', 2),
  ],
];

/** The commands that are safe to print. */
const SAFE =
  /^aws (autoscaling put-lifecycle-hook|ec2 (create|delete)-tags|cloudformation update-stack|lambda update-function-event-invoke-config|lambda delete-function-concurrency) --region us-west-2 /;

describe('is broken', () => {
  test.each(BROKEN.map(([changes, ...row]) => [...row, changes] as const))('%s: %s', (place, finding, fix, changes) => {
    // One cause breaks one link.
    const broken = judged(changes).filter(({ state }) => state === 'broken');
    expect(broken).toEqual([
      { place, state: 'broken', finding: expect.stringContaining(finding), fix: expect.stringContaining(fix) },
    ]);
    if (broken[0]?.fix?.startsWith('aws ')) expect(broken[0].fix).toMatch(SAFE);
  });

  test('a root volume replacement without a launching hook on the group of the stack', () => {
    const ofStack = { ...healthy.stack, parameters: { ...healthy.stack.parameters, AutoScalingGroupName: 'web' } };
    const broken = judged({ ...web({ refreshes: ROOT_VOLUME }), stack: ofStack }).filter(({ fix }) => fix !== null);
    expect(broken).toMatchObject([{ fix: 'deploy again with WithLaunchingHook=true' }]);
  });
});

const DENIED = { unreadable: 'no permission to look: not for you' };

/** Facts that cannot be read or judged, the links that are unknown, and the reason. */
const UNKNOWN: readonly [changes: Changes, places: string[], reason: string][] = [
  [stack('UPDATE_IN_PROGRESS'), ['stack'], 'UPDATE_IN_PROGRESS: check again'],
  [stack('CREATE_IN_PROGRESS', []), ['stack'], 'CREATE_IN_PROGRESS: check again'],
  [key({ KeyManager: 'AWS' }), ['topic key'], 'key-1, managed by AWS'],
  [lambda({ State: 'Pending' }), ['function'], 'check again when it is done'],
  [lambda({ LastUpdateStatus: 'InProgress' }), ['function'], 'check again when it is done'],
  [{ bundle: DENIED }, ['function code'], DENIED.unreadable],
  [callable({ IpAddress: { 'aws:SourceIp': '::1' } }), ['function permission'], 'that the check cannot judge'],
  [web({ hooks: DENIED }), ['web: terminating hook', 'web: root volume replacement'], DENIED.unreadable],
  [trust({ ArnLike: { 'aws:SourceArn': 'x' } }), ['web: hook role'], 'may assume drain-HookRole-1'],
  [role({ publish: [] }), ['web: publish to topic'], 'IAM simulated nothing'],
  [publishing('implicitDeny', ELSEWHERE, ['aws:PrincipalOrgID']), ['web: publish to topic'], 'sns:Publish'],
  [publishing('explicitDeny', {}, ['aws:PrincipalOrgID']), ['web: publish to topic'], 'sns:Publish'],
  [publishing('implicitDeny', ODD), ['web: publish to topic'], 'cannot judge'],
  [
    publishing('implicitDeny', { Condition: { StringLike: { 'aws:PrincipalAccount': '$'.concat('{aws:x}') } } }),
    ['web: publish to topic'],
    '',
  ],
  [
    beyond({ OrganizationsDecisionDetail: { AllowedByOrganizations: false } }),
    ['web: publish to topic'],
    'organization',
  ],
  [
    beyond({ PermissionsBoundaryDecisionDetail: { AllowedByPermissionsBoundary: false } }),
    ['web: publish to topic'],
    '',
  ],
  [publishing('allowed', { ...DENY, ...ODD }), ['web: publish to topic'], 'cannot judge'],
  [decrypting('allowed', ACCOUNT, ODD), ['web: use of topic key'], 'cannot judge'],
  [{ account: { AccountLimit: {} } }, ['web: concurrency'], 'the answer has no limit of the account'],
  [
    web({
      ...REUSE,
      hooks: [HOOK, { ...HOOK, ...OTHER, ...LAUNCHING }],
      notifications: [ANNOUNCED],
      warmPool: inStates('Warmed:Pending:Wait'),
    }),
    ['web: waiting to leave'],
    'i-00000001 in Warmed:Pending:Wait: on the way back to the warm pool, or new',
  ],
];

describe('is unknown', () => {
  test.each(UNKNOWN.map(([changes, ...row]) => [...row, changes] as const))('%j: %s', (places, reason, changes) => {
    const all = judged(changes);
    expect(all.filter(({ state }) => state === 'broken')).toEqual([]);
    const unknown = all.filter(({ state }) => state === 'unknown');
    expect(unknown.map(({ place }) => place)).toEqual(places);
    for (const { finding, fix } of unknown) {
      expect(finding).toContain(reason);
      expect(fix).toBeNull();
    }
  });
});

// SNS may format the filter in another way.
const SAME_FILTER = JSON.stringify(JSON.parse(FILTER), null, 1);

/** Facts that differ, and the finding of a link that is ok all the same. */
const OK: readonly [changes: Changes, place: string, finding: string][] = [
  [stack('UPDATE_ROLLBACK_COMPLETE'), 'stack', 'the last update failed and was undone'],
  [stack('UPDATE_COMPLETE'), 'stack', 'UPDATE_COMPLETE'],
  [key({}), 'topic key', 'key-1, enabled, customer-managed'],
  [subscribed({ FilterPolicy: SAME_FILTER }), 'subscription filter', "template.yaml's filter"],
  [{ settings: { tag: DEFAULT_TAG, maxAgeMs: Number.POSITIVE_INFINITY } }, 'function settings', 'no HEARTBEAT_TIMEOUT'],
  [callable(SAME_ACCOUNT), 'function permission', 'may call'],
  [{ lastTagged: 'absent' }, 'last tagged', 'not in the last 62 days'],
  [{ lastTagged: { time: new Date(0) } }, 'last tagged', 'in the five minutes from 1970-01-01T00:00:00.000Z'],
  [{}, 'groups', '1 to check; the region has no other group'],
  [web({}, { others: [...'abcdefghijkl'] }), 'groups', 'on a, b, c, d, e, f, g, h, i, j, and 2 more'],
  [hooked({}, { ...OTHER, DefaultResult: 'CONTINUE' }), 'web: other terminating hook', 'logs, timeout 60 s'],
  [hooked({}, { ...ABANDON, HeartbeatTimeout: 301 }), 'web: other terminating hook', 'default result ABANDON'],
  [
    web({ ...described(RETAINING), hooks: [HOOK, { ...HOOK, ...ABANDON }] }),
    'web: other terminating hook',
    'conflicts with the hook to the topic: its timeout ends both waits, and the lifecycle policy keeps the instance',
  ],
  [hooked({}, LAUNCHING), 'web: launching hook', 'drain-launch'],
  [trust(SAME_ACCOUNT), 'web: hook role', 'may'],
  [publishing('implicitDeny'), 'web: publish to topic', 'drain-HookRole-1 may sns:Publish'],
  [
    publishing('implicitDeny', { Condition: { Bool: { 'aws:SecureTransport': true } } }),
    'web: publish to topic',
    'may',
  ],
  [
    publishing('implicitDeny', { Condition: { StringLike: { 'aws:PrincipalAccount': 123456789012 } } }),
    'web: publish to topic',
    'may',
  ],
  // SNS's default policy.
  [publishing('implicitDeny', { Principal: '*', Condition: SAME_OWNER }), 'web: publish to topic', 'sns:Publish'],
  // Everybody but the hook's role is denied.
  [publishing('allowed', { ...DENY, Condition: unless('ArnNotEquals') }), 'web: publish to topic', 'sns:Publish'],
  [publishing('allowed', { ...DENY, Condition: unless('StringNotLike') }), 'web: publish to topic', 'sns:Publish'],
  [protectedFor(ROLE, 'ArnNotEquals'), 'web: publish to topic', 'sns:Publish'],
  [protectedFor(ROLE, 'ArnNotLikeIfExists'), 'web: publish to topic', 'sns:Publish'],
  [publishing('allowed', ODD), 'web: publish to topic', 'sns:Publish'],
  [decrypting('implicitDeny', ROLE), 'web: use of topic key', 'kms:GenerateDataKey, kms:Decrypt'],
  [decrypting('allowed', ACCOUNT), 'web: use of topic key', 'kms:GenerateDataKey, kms:Decrypt'],
  [{}, 'web: tag permission', 'the function may tag instances of every group'],
  [hooked({ HeartbeatTimeout: 120 }), 'web: waiting time', '120 s; the function accepts messages for 300 s'],
  [{ functionEvents: 'absent' }, 'web: waiting time', '300 s, as long as the function accepts a message'],
  [
    web({ ...REUSE, notifications: [...NOT_ANNOUNCED, ANNOUNCED] }),
    'web: return to service',
    'launch notifications (best effort)',
  ],
  [web({ ...REUSE, hooks: [HOOK, RETURNING] }), 'web: return to service', 'and a launching hook'],
  [web(NO_REUSE), 'web: return to service', 'no instance returns to it'],
  [web({ refreshes: ROOT_VOLUME, hooks: [HOOK, RETURNING] }), 'web: root volume replacement', 'clears the tags'],
  [web(described(NO_IMAGE)), 'web: root volume replacement', 'no such instance refresh'],
  [web({ refreshes: [{ Strategy: 'Rolling' }] }), 'web: root volume replacement', 'no such instance refresh'],
  [{ ...reserved(10), ...ofSize(100) }, 'web: concurrency', '10 copies reserved, 100 instances in the group'],
  [{ ...reserved(6), ...ofSize(120) }, 'web: concurrency', '6 copies reserved, 120 instances in the group'],
  [{ ...account(1), ...ofSize(10) }, 'web: concurrency', '1 copies for all functions of the account'],
  [{ tagged: new Set(['i-00000009']) }, 'web: in service', `2 instances, none with ${TAG_NAME}`],
  [{ ...inState('Terminating:Wait'), ...TAGGED }, 'web: waiting to leave', `1 instance, all with ${TAG_NAME}`],
  // Without reuse, the instance is on its first way into the pool.
  [web({ ...NO_REUSE, warmPool: inStates('Warmed:Pending:Wait') }), 'web: waiting to leave', 'no instance'],
];

describe('is ok', () => {
  test.each(OK.map(([changes, ...row]) => [...row, changes] as const))('%s: %s', (place, finding, changes) => {
    const found = judged(changes).filter((each) => each.place === place && each.finding.includes(finding));
    expect(found).toEqual([{ place, state: 'ok', finding: expect.anything(), fix: null }]);
  });
});

test.each([
  '-web',
  'file://~/.ssh/id_ed25519',
  'fileb:///etc/shadow',
  'http://[::1]/',
  'https://x',
  'w\u202eb',
  'w\nb',
])('no command has the group %j, which the AWS CLI may not read as text', (name) => {
  const changes = { ...web({ name, hooks: [], refreshes: ROOT_VOLUME }), stack: healthy.stack };
  const fixes = judged(changes).flatMap(({ fix }) => fix ?? []);
  expect(fixes).toEqual(
    Array(2).fill(`${BY_HAND('autoscaling put-lifecycle-hook')} of --auto-scaling-group-name as text`),
  );
});

test('no command has an output of the stack that the AWS CLI may not read as text', () => {
  const changed = { ...healthy.stack, functionName: 'file:///etc/passwd' };
  const fixes = judged({ ...reserved(0), stack: changed }).flatMap(({ fix }) => fix ?? []);
  expect(fixes).toEqual([`${BY_HAND('lambda delete-function-concurrency')} of --function-name as text`]);
});

test('a command reaches the AWS CLI as it was meant, whatever the name of the group', () => {
  const name = `it's "web" $HOME`;
  const fix = judged(web({ name, hooks: [] })).find(({ state }) => state === 'broken')?.fix ?? '';
  const words = execFileSync('sh', ['-c', `aws() { printf '%s\\n' "$@"; }\n${fix}`], { encoding: 'utf8' });
  expect(words).toBe(`${put('drain', 300).replace('aws ', '').replace(/web$/, '').replaceAll(' ', '\n')}${name}\n`);
});
