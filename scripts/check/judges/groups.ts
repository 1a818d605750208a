import { isKnown } from '../facts/fact.ts';
import type { Facts } from '../facts/facts.ts';
import type { Group } from '../facts/groups.ts';
import { broken, type Finding, ok, unknown } from '../link.ts';

/** The groups that the check looks at, and the others. */
export function judgeGroups({ groups }: Facts): Finding | [] {
  if (!isKnown(groups)) return unknown(groups);
  const { isNamed, examined, others, notRead } = groups;
  if (isNamed) return [];
  if (notRead.length > 0) return unknown(`the hooks of ${listed(notRead)}`);
  if (examined.length === 0) {
    const names = others.length > 0 ? ` (${listed(others)})` : '';
    const finding = `no group has a hook to the topic${names}: the next scale-in sets no tag`;
    return broken(finding, 'put the hook on each group: docs/deploy.md shows how');
  }
  const rest = others.length > 0 ? `no hook to the topic on ${listed(others)}` : 'the region has no other group';
  return ok(`${examined.length} to check; ${rest}`);
}

/** The groups that the user or the stack names, and that do not exist. */
export function judgeMissingGroups({ stack, groups }: Facts): readonly (Finding & { group: string })[] {
  if (!isKnown(groups)) return [];
  const fix = groups.isNamed
    ? 'give the name of a group that exists, or leave out --group'
    : 'deploy again with the name of a group that exists (AutoScalingGroupName)';
  return groups.missing.map((group) => ({ group, ...broken(`${stack.region} has no group ${group}`, fix) }));
}

/** Whether the function may tag instances of the group. The stack may limit the groups. */
export function judgeTagPermission({ stack }: Facts, { name }: Group): Finding {
  const { taggedGroups } = stack;
  if (taggedGroups.length === 0) return ok('the function may tag instances of every group');
  if (taggedGroups.includes(name)) return ok('the function may tag instances of this group');
  const finding = `the function may only tag instances of ${listed(taggedGroups)}: the next scale-in sets no tag`;
  return broken(finding, 'deploy again with the name of the group in TaggedGroupNames');
}

const SHOWN_NAMES = 10;

function listed(names: readonly string[]): string {
  const more = names.length > SHOWN_NAMES ? `, and ${names.length - SHOWN_NAMES} more` : '';
  return `${names.slice(0, SHOWN_NAMES).join(', ')}${more}`;
}
