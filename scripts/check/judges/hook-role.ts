import type { EvaluationResult } from '@aws-sdk/client-iam';
import { type Fact, isKnown } from '../facts/fact.ts';
import type { Facts, Role } from '../facts/facts.ts';
import { type Group, LAUNCHING, TERMINATING } from '../facts/groups.ts';
import { broken, type Finding, ok, unknown } from '../link.ts';
import { combine, type Decision, decide, isUnclear } from '../policy.ts';
import { fixOfHook, ownHooks } from './hooks.ts';
import { CHANGED, DELETED } from './stack.ts';

const EFFECT = 'no message of the hook is published, and the next scale-in sets no tag';
const UNCLEAR = 'the check cannot judge a condition, the boundary of the role, or a policy of the organization';

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
  return rolesOf(facts, group).map((role) => judgePermission(facts, group, role, 'topic'));
}

/** Whether the roles may use the topic's key. Without the key policy's consent, the role's own policies do not count. */
export function judgeUseOfTopicKey(facts: Facts, group: Group): readonly Finding[] {
  const roles = rolesOf(facts, group).filter(({ useKey }) => useKey !== 'absent');
  return roles.map((role) => judgePermission(facts, group, role, 'key'));
}

function judgePermission(facts: Facts, group: Group, role: Role, resource: 'topic' | 'key'): Finding {
  const { arn, name, publish, useKey } = role;
  const { accountId, hookRoleArn } = facts.stack;
  // IAM's simulation covers the role's own policies, its boundary and service control policies, but not the resource's
  // own policy.
  const simulation = resource === 'topic' ? publish : useKey;
  const resourcePolicy: Fact<{ Policy?: string | undefined }> = resource === 'topic' ? facts.topic : facts.keyPolicy;
  if (!isKnown(simulation)) return unknown(simulation);
  if (!isKnown(resourcePolicy)) return unknown(resourcePolicy);
  const account = [accountId, hookRoleArn.replace(/:role\/.*/, ':root')];
  const context = {
    'aws:principalarn': arn,
    'aws:principalaccount': accountId,
    'aws:sourceowner': accountId,
    'aws:securetransport': 'true',
  };
  const decisions = simulation.map((result) => {
    const { EvalActionName: action = '' } = result;
    const decideFor = (principals: readonly string[]) => decide(resourcePolicy.Policy, { action, principals, context });
    const ofAccount = decideFor(account);
    // A statement for the account denies its roles too. Only a key needs the account's consent.
    const isDenial = ofAccount === 'denied' || ofAccount === 'unclear denial';
    const consent = resource === 'key' || isDenial ? ofAccount : 'allowed';
    const own = decisionOf(result);
    const ownWithConsent = consent === 'allowed' ? [own] : [consent, own === 'allowed' ? 'silent' : own];
    return { action, decision: combine([...ownWithConsent, decideFor([arn])]) };
  });
  const isDenied = decisions.some(({ decision }) => decision === 'denied');
  const refused = decisions.filter(({ decision }) => decision === 'denied' || decision === 'silent');
  if (refused.length > 0) {
    const denial = 'find the policy that denies it (role, permissions boundary, service control policy, topic or key)';
    const fix = fixOf(facts, group, arn, isDenied ? denial : `allow it in the policy of the ${resource}`);
    return broken(`${name} may not ${actionsOf(refused)}: ${EFFECT}`, fix);
  }
  const unclear = decisions.filter(({ decision }) => isUnclear(decision));
  if (unclear.length > 0) return unknown(`whether ${name} may ${actionsOf(unclear)}: ${UNCLEAR}`);
  return decisions.length === 0 ? unknown('IAM simulated nothing') : ok(`${name} may ${actionsOf(decisions)}`);
}

function decisionOf(result: EvaluationResult): Decision {
  const { EvalDecision: decision, MissingContextValues: missing = [] } = result;
  if (decision === 'allowed') return 'allowed';
  const isExplicit = decision === 'explicitDeny';
  // A grant by the resource's policy may not reach beyond these two.
  const isWithinOrganization = result.OrganizationsDecisionDetail?.AllowedByOrganizations ?? true;
  const isWithinBoundary = result.PermissionsBoundaryDecisionDetail?.AllowedByPermissionsBoundary ?? true;
  if (!isExplicit && !(isWithinOrganization && isWithinBoundary)) return 'unclear denial';
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
  const fixes = hooksToTopic(facts, group)
    .filter(({ RoleARN }) => RoleARN === roleArn)
    .map((hook) => fixOfHook(facts, group, hook));
  return fixes.find((fix) => !fix.startsWith('aws ')) ?? fixes.join(' && ');
}
