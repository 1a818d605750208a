import {
  type AutoScalingClient,
  type AutoScalingGroup,
  DescribeLifecycleHooksCommand,
  type LifecycleHook,
  paginateDescribeAutoScalingGroups,
} from '@aws-sdk/client-auto-scaling';
import { examine, findings, type Link } from './link.ts';
import { putHookCommand } from './put-hook-command.ts';
import type { Stack } from './stack.ts';

export const TERMINATING = 'autoscaling:EC2_INSTANCE_TERMINATING';
export const LAUNCHING = 'autoscaling:EC2_INSTANCE_LAUNCHING';

/** A group whose chain is looked at, with all its lifecycle hooks. */
export interface Group {
  readonly name: string;
  readonly description: AutoScalingGroup;
  readonly hooks: readonly LifecycleHook[];
}

/** The hooks of a group that publish to the stack's topic, for one transition. */
export function ownHooks({ hooks }: Group, { topicArn }: Stack, transition: string): readonly LifecycleHook[] {
  return hooks.filter((hook) => hook.NotificationTargetARN === topicArn && hook.LifecycleTransition === transition);
}

/**
 * The groups to look at: those named, or else every group of the region with a hook to the topic, and the one that the
 * stack was given. The links name what is not there, and the groups that have no hook.
 */
export async function findGroups(
  autoScaling: AutoScalingClient,
  stack: Stack,
  named: readonly string[],
): Promise<{ readonly links: readonly Link[]; readonly groups: readonly Group[] }> {
  const groups: Group[] = [];
  const links = await examine('groups', null, async (as) => {
    const given = stack.parameters.AutoScalingGroupName;
    const expected = named.length > 0 ? [...new Set(named)] : given ? [given] : [];
    const all = await describeAll(autoScaling, named);
    const without: string[] = [];
    for (const group of all) {
      const own = group.hooks.some(({ NotificationTargetARN }) => NotificationTargetARN === stack.topicArn);
      if (own || expected.includes(group.name)) groups.push(group);
      else without.push(group.name);
    }
    const absent = expected.filter((name) => !groups.some((group) => group.name === name));
    if (named.length > 0) return absent.length > 0 ? mistaken(absent, await groupNames(autoScaling), stack.region) : [];
    const missing = absent.map((name) => {
      const found = `${stack.region} has no group ${name}: what is scaled in there, under whatever name, gets no tag`;
      return findings('group', name).broken(found, putHookCommand(stack, undefined));
    });
    if (groups.length === 0) {
      const found = `no group has a hook to the topic${listed(without)}: the next scale-in sets no tag`;
      return [...missing, as.broken(found, putHookCommand(stack, undefined))];
    }
    const found = `${groups.length} with a hook to the topic, or named by the stack; ${
      without.length > 0 ? `none on ${without.join(', ')}` : 'no other group in the region'
    }`;
    return [...missing, as.ok(found)];
  });
  return { links, groups };
}

const SHOWN_GROUPS = 10;

/** Names that the user gave, and that no group has. */
function mistaken(names: readonly string[], existing: readonly string[], region: string): readonly Link[] {
  const more = existing.length > SHOWN_GROUPS ? `, and ${existing.length - SHOWN_GROUPS} more` : '';
  const others = `its groups are ${existing.slice(0, SHOWN_GROUPS).join(', ')}${more}`;
  return names.map((name) =>
    findings('group', name).broken(
      `${region} has no group ${name}; ${existing.length > 0 ? others : 'it has no group at all'}`,
      'give the name of a group that exists, or leave out --group',
    ),
  );
}

function listed(names: readonly string[]): string {
  return names.length > 0 ? ` (${names.join(', ')})` : '';
}

async function describeAll(autoScaling: AutoScalingClient, named: readonly string[]): Promise<Group[]> {
  const groups: Group[] = [];
  const input = named.length > 0 ? { AutoScalingGroupNames: [...named] } : {};
  for await (const { AutoScalingGroups = [] } of paginateDescribeAutoScalingGroups({ client: autoScaling }, input)) {
    for (const description of AutoScalingGroups) {
      const name = description.AutoScalingGroupName ?? '';
      // All hooks of a group come in one answer.
      const { LifecycleHooks: hooks = [] } = await autoScaling.send(
        new DescribeLifecycleHooksCommand({ AutoScalingGroupName: name }),
      );
      groups.push({ name, description, hooks });
    }
  }
  return groups;
}

async function groupNames(autoScaling: AutoScalingClient): Promise<string[]> {
  const names: string[] = [];
  for await (const { AutoScalingGroups = [] } of paginateDescribeAutoScalingGroups({ client: autoScaling }, {})) {
    names.push(...AutoScalingGroups.flatMap(({ AutoScalingGroupName }) => AutoScalingGroupName ?? []));
  }
  return names;
}
