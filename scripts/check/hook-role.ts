import {
  type EvaluationResult,
  GetRoleCommand,
  type IAMClient,
  paginateSimulatePrincipalPolicy,
} from '@aws-sdk/client-iam';
import { awsCommand } from './aws-command.ts';
import { type Group, LAUNCHING, ownHooks, TERMINATING } from './groups.ts';
import { examine, type Findings, isNamed, type Link } from './link.ts';
import { allowsOf } from './policy.ts';
import { putHookCommand } from './put-hook-command.ts';
import { DEPLOY_AGAIN, type Stack } from './stack.ts';
import type { Topic } from './topic.ts';

const SERVICE = 'autoscaling.amazonaws.com';

/** The roles of the group's hooks: Auto Scaling may assume them, and they may publish to the topic, and use its key. */
export async function checkHookRoles(
  iam: IAMClient,
  stack: Stack,
  topic: Topic,
  group: Group,
): Promise<readonly Link[]> {
  const hooks = [TERMINATING, LAUNCHING].flatMap((transition) => ownHooks(group, stack, transition));
  const roles = new Set(hooks.flatMap(({ RoleARN }) => RoleARN ?? []));
  const links: Link[] = [];
  for (const roleArn of roles) {
    const putHooks = hooks
      .filter(({ RoleARN }) => RoleARN === roleArn)
      .map((hook) => putHookCommand(stack, group.name, { ...hook, RoleARN: stack.hookRoleArn }));
    const replacement = roleArn === stack.hookRoleArn ? DEPLOY_AGAIN : putHooks.join(' && ');
    links.push(...(await checkRole(iam, stack, topic, group.name, roleArn, replacement)));
  }
  return links;
}

/** @param replacement how to fix a role that does not exist. */
async function checkRole(
  iam: IAMClient,
  { region, topicArn, accountId }: Stack,
  { policy, keyArn }: Topic,
  group: string,
  roleArn: string,
  replacement: string,
): Promise<readonly Link[]> {
  // An ARN may have a path before the name.
  const role = roleArn.split('/').at(-1) ?? '';
  const trust = {
    Version: '2012-10-17',
    Statement: [
      {
        Effect: 'Allow',
        Principal: { Service: SERVICE },
        Action: 'sts:AssumeRole',
        Condition: { StringEquals: { 'aws:SourceAccount': accountId } },
      },
    ],
  };
  const publish = {
    actions: ['sns:Publish'],
    granted: ['sns:Publish'],
    resource: topicArn,
    name: 'publish-lifecycle-messages',
  };
  const key = keyArn && {
    actions: ['kms:GenerateDataKey', 'kms:Decrypt'],
    granted: ['kms:GenerateDataKey*', 'kms:Decrypt'],
    resource: keyArn,
    name: 'use-topic-key',
  };
  const trusted = await examine('hook role', group, checkTrust);
  // IAM cannot simulate a missing role.
  if (trusted.some(({ state }) => state === 'broken')) return trusted;
  return [
    ...trusted,
    ...(await examine('publish to topic', group, (as) => checkPermission(as, publish, policy))),
    // The key's own policy decides too. IAM does not simulate that policy.
    ...(key ? await examine('use of topic key', group, (as) => checkPermission(as, key, undefined)) : []),
  ];

  async function checkTrust(as: Findings): Promise<Link> {
    try {
      const { Role } = await iam.send(new GetRoleCommand({ RoleName: role }));
      const document = decodeURIComponent(Role?.AssumeRolePolicyDocument ?? '');
      if (allowsOf(document, SERVICE).length > 0) return as.ok(`Auto Scaling may assume ${role}`);
      const mend = awsCommand(region, 'iam update-assume-role-policy', { 'role-name': role, 'policy-document': trust });
      return as.broken(
        `Auto Scaling may not assume ${role}: nothing is published, and the next scale-in sets no tag`,
        mend,
      );
    } catch (error) {
      if (!isNamed(error, 'NoSuchEntity', 'NoSuchEntityException')) throw error;
      return as.broken(`${roleArn} is not there: nothing is published, and the next scale-in sets no tag`, replacement);
    }
  }

  async function checkPermission(
    as: Findings,
    wanted: typeof publish,
    resourcePolicy: string | undefined,
  ): Promise<Link> {
    const { actions, resource } = wanted;
    const results: EvaluationResult[] = [];
    const input = { PolicySourceArn: roleArn, ActionNames: actions, ResourceArns: [resource] };
    for await (const { EvaluationResults = [] } of paginateSimulatePrincipalPolicy({ client: iam }, input)) {
      results.push(...EvaluationResults);
    }
    const what = `${actions.join(', ')} on ${resource}`;
    // IAM takes a resource's own policy into a simulation for users only, not for roles.
    const refused = results.filter(({ EvalDecision }) => EvalDecision !== 'allowed');
    if (results.length > 0 && refused.length === 0) {
      const denies = /"Effect"\s*:\s*"Deny"/.test(resourcePolicy ?? '');
      return as.ok(
        `${role}: ${what}${denies ? "; the topic's own policy denies something, which IAM does not simulate" : ''}`,
      );
    }
    const decision = refused.map(({ EvalActionName, EvalDecision }) => `${EvalActionName} ${EvalDecision}`).join(', ');
    const missing = refused.flatMap(({ MissingContextValues = [] }) => MissingContextValues);
    if (results.length === 0) return as.unknown('IAM simulated nothing');
    if (missing.length > 0) return as.unknown(`${role}: ${decision}, depending on ${missing.join(', ')}`);
    const isExplicit = refused.some(({ EvalDecision }) => EvalDecision === 'explicitDeny');
    if (!isExplicit && resourcePolicy?.includes(`"${roleArn}"`)) {
      return as.unknown(`${role}: not by its own policies; the topic's policy names it, which IAM does not simulate`);
    }
    const found = `${role} may not: ${decision} on ${resource}; nothing is published, and the next scale-in sets no tag`;
    return as.broken(found, isExplicit ? showStatements(wanted) : grant(wanted));
  }

  function grant({ granted, resource, name }: typeof publish): string {
    return awsCommand(region, 'iam put-role-policy', {
      'role-name': role,
      'policy-name': name,
      'policy-document': {
        Version: '2012-10-17',
        Statement: [{ Effect: 'Allow', Action: granted, Resource: resource }],
      },
    });
  }

  /** A deny has to be fixed in its own policy. This command names the policy. */
  function showStatements({ actions, resource }: typeof publish): string {
    return awsCommand(region, 'iam simulate-principal-policy', {
      'policy-source-arn': roleArn,
      'action-names': actions,
      'resource-arns': resource,
      query: 'EvaluationResults[].MatchedStatements[].SourcePolicyId',
      output: 'text',
    });
  }
}
