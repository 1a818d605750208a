import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { DEFAULT_TAG } from '../src/settings.ts';
import { awsWithOutputs, runWithStubs, shellBlock } from '../test/helpers/page.ts';
import { ARNS, type Call, type PolicyDocument, policiesOf, roleMay, serviceMay } from '../test/helpers/policy.ts';
import { deploy, ofType, propertiesOf, TEMPLATE, TEMPLATE_TEXT } from '../test/helpers/stack.ts';

const page = readFileSync(new URL('deploy.md', import.meta.url), 'utf8');
const operate = readFileSync(new URL('operate.md', import.meta.url), 'utf8');

/** The JSON blocks of a section. */
function jsonIn(heading: string) {
  const [, section = ''] = page.split(`\n${heading}\n`);
  const [text = ''] = section.split(/^#/m);
  return [...text.matchAll(/```json\n(.*?)```/gs)].map(([, block = '']) => JSON.parse(block));
}

describe('the page on deployment', () => {
  it.each(Object.entries(TEMPLATE.Parameters))('has the parameter %s, with its default', (name, { Default = '' }) => {
    const [, , actual = 'no such row'] = new RegExp(`^\\| \`${name}\` (\\|([^|]*))\\|`, 'm').exec(page) ?? [];
    expect(actual.trim().replaceAll('`', '')).toBe(String(Default));
  });

  it('has Terraform replace the line of the template that names the zip', () => {
    const [, line = ''] = /replace\(file\("template.yaml"\), "([^"]+)"/.exec(page) ?? [];
    expect(TEMPLATE_TEXT.split(line)).toHaveLength(2);
    expect(TEMPLATE_TEXT).toContain(`\n      ${line}\n`);
  });

  it('calculates the cost with the memory of the function', () => {
    const { MemorySize } = propertiesOf<{ MemorySize: number }>(deploy(), 'Function');
    expect(page).toContain(` s × ${MemorySize / 1024} GB × `);
  });
});

describe('the statements for the keys of encrypted topics', () => {
  const policy = { Version: '2012-10-17', Statement: jsonIn('## Encrypted topics').flat() };
  const key = 'arn:aws:kms:us-west-2:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab';
  const TopicArn = 'arn:aws:sns:us-west-2:123456789012:existing';
  const hookRole = policiesOf(deploy({ TopicArn, TopicKeyArn: key }), 'HookRole');

  it.each(['kms:GenerateDataKey', 'kms:Decrypt'])('let the hook role and CloudWatch call %s', async (action) => {
    const call = { action, resource: key };
    const hook = (role: string) => roleMay(hookRole, call, { resourcePolicy: policy, role });
    expect(await hook('remove-from-lb-HookRole-1A2B')).toBe(true);
    expect(await hook('another-role')).toBe(false);
    expect(await serviceMay('cloudwatch.amazonaws.com', policy, call)).toBe(true);
    expect(await serviceMay('events.amazonaws.com', policy, call)).toBe(false);
  });
});

it("the statement for a topic of one's own is that of the stack's topic", () => {
  const { PolicyDocument: policy } = propertiesOf<{ PolicyDocument: unknown }>(deploy(), 'TopicPolicy');
  const text = JSON.stringify(policy)
    .replace('"HookRole.Arn"', JSON.stringify(ARNS['HookRole.Arn']))
    .replace('"Resource":"Topic"', '"Resource":"arn:aws:sns:us-west-2:123456789012:existing"');
  expect(jsonIn('## A topic of your own')).toEqual([JSON.parse(text).Statement]);
});

describe('the block that downloads a release', () => {
  const block = shellBlock(page, 'curl').replace('OWNER', 'example');
  const programs = ['curl', 'sha256sum', 'gh', 'tar'];

  it('checks the checksum and the attestation before it unpacks the archive', async () => {
    const { calls } = await runWithStubs(block, { curl: '', sha256sum: '', gh: '', tar: '' });
    expect(calls.map(([program]) => program)).toEqual(programs);
    const [, version = ''] = /^VERSION=(\S+)/m.exec(block) ?? [];
    const repository = 'example/remove-from-lb';
    expect(calls[2]?.join(' ')).toBe(
      `gh attestation verify remove-from-lb-${version}.tar.gz --repo ${repository} ` +
        `--signer-workflow ${repository}/.github/workflows/release.yml --source-ref refs/tags/v${version}`,
    );
  });

  it.each(['curl', 'sha256sum', 'gh'])('unpacks nothing when %s fails', async (program) => {
    const { calls, status } = await runWithStubs(block, {
      ...{ curl: '', sha256sum: '', gh: '', tar: '' },
      [program]: 'exit 1',
    });
    expect(calls.map(([called]) => called)).toEqual(programs.slice(0, programs.indexOf(program) + 1));
    expect(status).not.toBe(0);
  });
});

describe('the commands for further groups', () => {
  const parameters = { AutoScalingGroupName: 'web', HeartbeatTimeout: 600 };
  const stack = deploy(parameters);

  /** The options of each call of the AWS CLI in the block with this text. */
  async function optionsOf(text: string) {
    const script = `${shellBlock(operate, 'output() {')}\nGROUP=api\n${shellBlock(page, text)}`;
    const { calls } = await runWithStubs(script, { aws: awsWithOutputs(stack.outputs) });
    const ofGroups = calls.filter(([, service]) => service === 'autoscaling');
    return ofGroups.map(([, , operation, ...options]) => {
      const values = options.flatMap((name, index) => (index % 2 === 0 ? [[name, options[index + 1]]] : []));
      return [operation, Object.fromEntries(values)];
    });
  }

  it("put the stack's hook on a further group", async () => {
    const [hook] = Object.values(ofType<Record<string, unknown>>(stack, 'AWS::AutoScaling::LifecycleHook'));
    const options = {
      '--auto-scaling-group-name': 'api',
      '--lifecycle-hook-name': hook?.LifecycleHookName,
      '--lifecycle-transition': hook?.LifecycleTransition,
      '--heartbeat-timeout': String(hook?.HeartbeatTimeout),
      '--default-result': hook?.DefaultResult,
      '--notification-target-arn': hook?.NotificationTargetARN,
      '--role-arn': hook?.RoleARN,
    };
    expect(await optionsOf('put-lifecycle-hook')).toEqual([['put-lifecycle-hook', options]]);
  });

  it('turn on launch notifications', async () => {
    const [, notifications] = await optionsOf('put-notification-configuration');
    const options = {
      '--auto-scaling-group-name': 'api',
      '--notification-types': 'autoscaling:EC2_INSTANCE_LAUNCH',
      '--topic-arn': 'Topic',
    };
    expect(notifications).toEqual(['put-notification-configuration', options]);
  });

  it('take hook and notifications away', async () => {
    const group = { '--auto-scaling-group-name': 'api' };
    expect(await optionsOf('delete-lifecycle-hook')).toEqual([
      ['delete-lifecycle-hook', { ...group, '--lifecycle-hook-name': 'remove-from-lb' }],
      ['delete-notification-configuration', { ...group, '--topic-arn': 'Topic' }],
    ]);
  });
});

describe("the deployer's policy", () => {
  const [boundary, policy] = jsonIn('### The deployer') as [PolicyDocument, PolicyDocument];
  const account = 'arn:aws:iam::123456789012';
  const role = `${account}:role/remove-from-lb-FunctionRole-1A2B`;
  const bounded = { 'iam:PermissionsBoundary': `${account}:policy/remove-from-lb-boundary` };
  const group = 'arn:aws:autoscaling:us-west-2:123456789012:autoScalingGroup:0a1b:autoScalingGroupName';
  const may = (call: Call) => roleMay([policy], call, { role: 'deployer' });

  it.each([
    ['iam:CreateRole', role, bounded],
    ['iam:PutRolePolicy', role, bounded],
    ['iam:PutRolePermissionsBoundary', role, bounded],
    ['iam:DeleteRole', role, {}],
    ['iam:DeleteRolePolicy', role, bounded],
    ['iam:PassRole', role, { 'iam:PassedToService': 'lambda.amazonaws.com' }],
    ['iam:PassRole', role, { 'iam:PassedToService': 'autoscaling.amazonaws.com' }],
    ['autoscaling:PutLifecycleHook', `${group}/web`, {}],
    ['autoscaling:DeleteLifecycleHook', `${group}/web`, {}],
    ['autoscaling:PutNotificationConfiguration', `${group}/web`, {}],
    ['s3:PutObject', 'arn:aws:s3:::my-deployments/remove-from-lb/0a1b', {}],
    ['s3:GetObject', 'arn:aws:s3:::my-deployments/remove-from-lb/0a1b', {}],
    ['sns:SetTopicAttributes', ARNS.Topic, {}],
    ['lambda:CreateFunction', 'arn:aws:lambda:us-west-2:123456789012:function:remove-from-lb-Function', {}],
    ['cloudformation:CreateChangeSet', 'arn:aws:cloudformation:us-west-2:123456789012:stack/remove-from-lb/0a1b', {}],
  ])('allows %s on %s with %j', async (action, resource, context) => {
    expect(await may({ action, resource, context })).toBe(true);
  });

  const OTHER_BOUNDARY = { 'iam:PermissionsBoundary': `${account}:policy/remove-from-lb-other` };
  it.each<[string, string, Call['context']]>([
    ['iam:CreateRole', role, {}],
    ['iam:CreateRole', role, OTHER_BOUNDARY],
    ['iam:CreateRole', `${account}:role/other`, bounded],
    ['iam:PutRolePolicy', role, {}],
    ['iam:PutRolePolicy', role, OTHER_BOUNDARY],
    ['iam:DeleteRolePolicy', role, {}],
    ['iam:DeleteRolePolicy', role, OTHER_BOUNDARY],
    ['iam:AttachRolePolicy', role, bounded],
    ['iam:UpdateAssumeRolePolicy', role, {}],
    ['iam:PutRolePermissionsBoundary', role, OTHER_BOUNDARY],
    ['iam:DeleteRolePermissionsBoundary', role, bounded],
    ['iam:CreatePolicyVersion', `${account}:policy/remove-from-lb-boundary`, {}],
    ['iam:PassRole', role, { 'iam:PassedToService': 'ec2.amazonaws.com' }],
    ['iam:PassRole', `${account}:role/other`, { 'iam:PassedToService': 'lambda.amazonaws.com' }],
    ['sts:AssumeRole', role, {}],
    ['autoscaling:PutLifecycleHook', `${group}/payments`, {}],
    ['autoscaling:DeleteLifecycleHook', `${group}/payments`, {}],
    ['autoscaling:PutNotificationConfiguration', `${group}/payments`, {}],
    ['s3:PutObject', 'arn:aws:s3:::my-deployments/another-team/artifact.zip', {}],
    ['lambda:UpdateFunctionCode', 'arn:aws:lambda:us-west-2:123456789012:function:payments', {}],
  ])('refuses %s on %s with %j', async (action, resource, context = {}) => {
    expect(await may({ action, resource, context })).toBe(false);
  });

  describe('demands a boundary that', () => {
    const INSTANCE = 'arn:aws:ec2:us-west-2:123456789012:instance/i-05629ab7d9287e205';
    const tag = { 'aws:TagKeys': [DEFAULT_TAG.key], [`aws:RequestTag/${DEFAULT_TAG.key}`]: DEFAULT_TAG.value };
    const member = { 'aws:ResourceTag/aws:autoscaling:groupName': 'web' };
    const stream = ARNS['LogGroup.Arn'].replace('*', 'log-stream:one');

    it.each<[string, string, string, Call['context']]>([
      ['FunctionRole', 'ec2:CreateTags', INSTANCE, { ...tag, ...member }],
      ['FunctionRole', 'ec2:DeleteTags', INSTANCE, { ...tag, ...member }],
      ['FunctionRole', 'logs:CreateLogStream', stream, {}],
      ['FunctionRole', 'logs:PutLogEvents', stream, {}],
      ['FunctionRole', 'sqs:SendMessage', ARNS['FailureQueue.Arn'], {}],
      ['HookRole', 'sns:Publish', ARNS.Topic, {}],
    ])('leaves the %s its right to %s', async (id, action, resource, context = {}) => {
      expect(await roleMay(policiesOf(deploy(), id), { action, resource, context }, { boundary })).toBe(true);
    });

    const everything = { Version: '2012-10-17', Statement: [{ Effect: 'Allow', Action: '*', Resource: '*' }] };
    it.each<[string, string, Call['context']]>([
      ['ec2:CreateTags', INSTANCE, { ...member, 'aws:TagKeys': [DEFAULT_TAG.key, 'role'] }],
      ['ec2:CreateTags', INSTANCE, tag],
      ['ec2:DeleteTags', INSTANCE, member],
      ['ec2:TerminateInstances', INSTANCE, member],
      ['sns:Publish', 'arn:aws:sns:us-west-2:123456789012:payments', {}],
      ['sqs:SendMessage', 'arn:aws:sqs:us-west-2:123456789012:payments', {}],
      ['iam:CreateRole', role, {}],
      ['s3:GetObject', 'arn:aws:s3:::my-deployments/remove-from-lb/0a1b', {}],
    ])('keeps a role with all rights from %s on %s with %j', async (action, resource, context = {}) => {
      expect(await roleMay([everything], { action, resource, context })).toBe(true);
      expect(await roleMay([everything], { action, resource, context }, { boundary })).toBe(false);
    });
  });
});
