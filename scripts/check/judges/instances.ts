import type { Instance } from '@aws-sdk/client-auto-scaling';
import { isKnown } from '../facts/fact.ts';
import type { Facts } from '../facts/facts.ts';
import { type Group, LAUNCHING } from '../facts/groups.ts';
import { broken, type Finding, ok, unknown } from '../link.ts';
import { awsCommand } from './commands.ts';
import { isReused } from './return-to-service.ts';

/** Instances in service must not carry the tag. */
export function judgeInService(facts: Facts, group: Group): Finding {
  const { tagged, tag } = facts;
  if (!isKnown(tagged)) return unknown(tagged);
  const ids = idsIn(group.description.Instances, /^InService$/);
  const wrong = ids.filter((id) => tagged.has(id));
  const name = `${tag.key}=${tag.value}`;
  if (wrong.length === 0) return ok(`${counted(ids)}, none with ${name}`);
  const finding = `${wrong.length} of ${counted(ids)} with ${name} (${wrong.join(', ')}): they get no requests`;
  return broken(finding, tagCommand(facts, 'delete-tags', wrong));
}

/** Instances that wait to leave must carry the tag. A retained instance still runs, so that HAProxy still uses it. */
export function judgeWaitingToLeave(facts: Facts, group: Group): Finding {
  const { tagged, tag } = facts;
  if (!isKnown(tagged)) return unknown(tagged);
  if (!isKnown(group.warmPool)) return unknown(group.warmPool);
  const members = [...(group.description.Instances ?? []), ...group.warmPool];
  // Without reuse, an instance in this state is on its first way into the pool.
  const pending = isReused(group) ? idsIn(members, /^Warmed:Pending:Wait$/) : [];
  // A launching hook makes new instances wait in this state too.
  const isAmbiguous = !isKnown(group.hooks) || group.hooks.some((hook) => hook.LifecycleTransition === LAUNCHING);
  const leaving = idsIn(members, /^(Terminating|ReplacingRootVolume):Wait$|:Retained$/);
  if (!isAmbiguous) leaving.push(...pending);
  const wrong = leaving.filter((id) => !tagged.has(id));
  const name = `${tag.key}=${tag.value}`;
  if (wrong.length > 0) {
    const finding = `${wrong.length} of ${counted(leaving)} without ${name} (${wrong.join(', ')}): unless a message is on its way, requests are lost`;
    return broken(finding, tagCommand(facts, 'create-tags', wrong));
  }
  const unclear = isAmbiguous ? pending.filter((id) => !tagged.has(id)) : [];
  if (unclear.length > 0) {
    return unknown(`${unclear.join(', ')} in Warmed:Pending:Wait: on the way back to the warm pool, or new`);
  }
  return ok(leaving.length === 0 ? 'no instance' : `${counted(leaving)}, all with ${name}`);
}

function idsIn(instances: readonly Instance[] = [], states: RegExp): string[] {
  return instances.flatMap(({ InstanceId, LifecycleState }) =>
    InstanceId && states.test(LifecycleState ?? '') ? [InstanceId] : [],
  );
}

function counted({ length }: readonly string[]): string {
  return length === 1 ? '1 instance' : `${length} instances`;
}

function tagCommand({ stack, tag }: Facts, operation: 'create-tags' | 'delete-tags', ids: readonly string[]): string {
  const tags = JSON.stringify([{ Key: tag.key, Value: tag.value }]);
  return awsCommand(stack.region, `ec2 ${operation}`, { resources: ids, tags });
}
