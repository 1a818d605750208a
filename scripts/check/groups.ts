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
    const missing = expected
      .filter((name) => !groups.some((group) => group.name === name))
      .map((name) => {
        const found = `${stack.region} has no group ${name}: what is scaled in there, under whatever name, gets no tag`;
        return findings('group', name).broken(found, putHookCommand(stack, undefined));
      });
    if (named.length > 0) return missing;
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
