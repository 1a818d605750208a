import type { EvaluationResult } from '@aws-sdk/client-iam';
import { type Fact, isKnown } from '../facts/fact.ts';
import type { Facts, Role } from '../facts/facts.ts';
import { type Group, LAUNCHING, TERMINATING } from '../facts/groups.ts';
import { broken, type Finding, ok, unknown } from '../link.ts';
import { combine, type Decision, decide, isUnclear } from '../policy.ts';
import { ownHooks } from './hooks.ts';
import { putHookCommand } from './put-hook-command.ts';
import { CHANGED, DELETED } from './stack.ts';

const EFFECT = 'no message of the hook is published, and the next scale-in sets no tag';
const UNCLEAR = 'a policy has a condition that the check cannot judge';

/** Whether Auto Scaling may assume the roles of the group's hooks. */
export function judgeHookRoles(facts: Facts, group: Group): readonly Finding[] {
  return rolesOf(facts, group).map(({ arn, name, role }) => {
    if (role === 'absent') return broken(`${arn} does not exist: ${EFFECT}`, fixOf(facts, group, arn, DELETED));
    if (!isKnown(role)) return unknown(role);
    const decision = decide(decodeURIComponent(role.Role?.AssumeRolePolicyDocument ?? '{}'), {
      action: 'sts:AssumeRole',
      principals: ['autoscaling.amazonaws.com'],
      context: { 'aws:sourceaccount': facts.stack.accountId },
    });
    if (decision === 'allowed') return ok(`Auto Scaling may assume ${name}`);
    if (isUnclear(decision)) return unknown(`whether Auto Scaling may assume ${name}: ${UNCLEAR}`);
    return broken(`Auto Scaling may not assume ${name}: ${EFFECT}`, fixOf(facts, group, arn, CHANGED));
  });
}

/** Whether the roles may publish. A grant by the role's own policies or by the topic's policy suffices. */
export function judgePublish(facts: Facts, group: Group): readonly Finding[] {
  const { topic, stack } = facts;
  return rolesOf(facts, group).map((role) => {
    const permission = { resource: stack.topicArn, simulation: role.publish, policy: topic, needsConsent: false };
    return judgePermission(facts, group, role, permission);
  });
}

/** Whether the roles may use the topic's key. Without the key policy's consent, the role's own policies do not count. */
export function judgeUseOfTopicKey(facts: Facts, group: Group): readonly Finding[] {
  const roles = rolesOf(facts, group).filter(({ useKey }) => useKey !== 'absent');
  return roles.map((role) => {
    const { useKey: simulation } = role;
    const permission = { resource: "the topic's key", simulation, policy: facts.keyPolicy, needsConsent: true };
    return judgePermission(facts, group, role, permission);
  });
}

interface Permission {
  readonly resource: string;
  /** IAM's simulation of the role's own policies, its boundary and the service control policies. */
  readonly simulation: Role['publish'];
  /** The resource's own policy. The simulation does not include it. */
  readonly policy: Fact<{ readonly Policy?: string | undefined }>;
  /** Whether the role's own policies count only if the resource's policy lets the account decide. */
  readonly needsConsent: boolean;
}

function judgePermission(facts: Facts, group: Group, { arn, name }: Role, permission: Permission): Finding {
  const { stack } = facts;
  const { resource, simulation, policy, needsConsent } = permission;
  if (!isKnown(simulation)) return unknown(simulation);
  if (!isKnown(policy)) return unknown(policy);
  const account = [stack.accountId, stack.hookRoleArn.replace(/:role\/.*/, ':root')];
  const context = {
    'aws:principalarn': arn,
    'aws:principalaccount': stack.accountId,
    'aws:sourceowner': stack.accountId,
    'aws:securetransport': 'true',
  };
  const decisions = simulation.map((result) => {
    const { EvalActionName: action = '' } = result;
    const consent = needsConsent ? decide(policy.Policy, { action, principals: account, context }) : 'allowed';
    const own = decisionOf(result);
    return {
      action,
      decision: combine([
        ...(consent === 'allowed' ? [own] : [consent, own === 'allowed' ? 'silent' : own]),
        decide(policy.Policy, { action, principals: [arn], context }),
      ]),
    };
  });
  const isDenied = decisions.some(({ decision }) => decision === 'denied');
  const refused = decisions.filter(({ decision }) => decision === 'denied' || decision === 'silent');
  if (refused.length > 0) {
    const finding = `${name} may not ${actionsOf(refused)} on ${resource}: ${EFFECT}`;
    const denial = 'find the policy that denies it (role, permissions boundary, service control policy, topic or key)';
    return broken(finding, fixOf(facts, group, arn, isDenied ? denial : `allow it in the policy of ${resource}`));
  }
  const unclear = decisions.filter(({ decision }) => isUnclear(decision));
  if (unclear.length > 0) return unknown(`${name}: ${actionsOf(unclear)} on ${resource}: ${UNCLEAR}`);
  return decisions.length === 0
    ? unknown('IAM simulated nothing')
    : ok(`${name}: ${actionsOf(decisions)} on ${resource}`);
}

function decisionOf({ EvalDecision: decision, MissingContextValues: missing = [] }: EvaluationResult): Decision {
  if (decision === 'allowed') return 'allowed';
  const isExplicit = decision === 'explicitDeny';
  if (missing.length > 0) return isExplicit ? 'unclear denial' : 'unclear grant';
  return isExplicit ? 'denied' : 'silent';
}

function actionsOf(decisions: readonly { readonly action: string }[]): string {
  return decisions.map(({ action }) => action).join(', ');
}

/** The roles of the group's hooks to the topic. */
function rolesOf(facts: Facts, group: Group): readonly Role[] {
  const arns = hooksToTopic(facts, group).map(({ RoleARN }) => RoleARN);
  return facts.roles.filter(({ arn }) => arns.includes(arn));
}

function hooksToTopic(facts: Facts, group: Group) {
  return [TERMINATING, LAUNCHING].flatMap((transition) => ownHooks(facts, group, transition));
}

/** @param sentence the fix when the hook already has the stack's own role. */
function fixOf(facts: Facts, group: Group, roleArn: string, sentence: string): string {
  if (roleArn === facts.stack.hookRoleArn) return sentence;
  return hooksToTopic(facts, group)
    .filter(({ RoleARN }) => RoleARN === roleArn)
    .map((hook) => putHookCommand(facts.stack, group.name, hook))
    .join(' && ');
}
