import {
  type AutoScalingGroup,
  DescribeLifecycleHooksCommand,
  type Instance,
  type InstanceRefresh,
  type LifecycleHook,
  type NotificationConfiguration,
  paginateDescribeAutoScalingGroups,
  paginateDescribeInstanceRefreshes,
  paginateDescribeNotificationConfigurations,
  paginateDescribeWarmPool,
} from '@aws-sdk/client-auto-scaling';
import type { Clients } from '../clients.ts';
import { collect, type Fact, isKnown, read } from './fact.ts';
import type { Stack } from './stack.ts';

export const TERMINATING = 'autoscaling:EC2_INSTANCE_TERMINATING';
export const LAUNCHING = 'autoscaling:EC2_INSTANCE_LAUNCHING';

export interface Group {
  readonly name: string;
  readonly description: AutoScalingGroup;
  readonly hooks: Fact<readonly LifecycleHook[]>;
  readonly notifications: Fact<readonly NotificationConfiguration[]>;
  readonly refreshes: Fact<readonly InstanceRefresh[]>;
  /** The instances in the warm pool, and those on their way into it. */
  readonly warmPool: Fact<readonly Instance[]>;
}

interface Groups {
  /** Whether the user named the groups. */
  readonly isNamed: boolean;
  /** The groups that --group or else the stack names, and without --group every other one with a hook to the topic. */
  readonly examined: readonly Group[];
  /** The groups that --group or else the stack names, and that do not exist. */
  readonly missing: readonly string[];
  /** The other groups whose hooks were read: none has a hook to the topic. */
  readonly others: readonly string[];
  /** The other groups whose hooks could not be read, with the reason. */
  readonly notRead: readonly string[];
}

export function readAutoScaling(
  { autoScaling: client }: Clients,
  { topicArn, parameters }: Stack,
  named: readonly string[],
): Promise<Fact<Groups>> {
  return read(async () => {
    const ofStack = parameters.AutoScalingGroupName;
    const expected = named.length > 0 ? [...new Set(named)] : ofStack ? [ofStack] : [];
    const examined: Group[] = [];
    const others: string[] = [];
    const notRead: string[] = [];
    const descriptions = await collect(paginateDescribeAutoScalingGroups({ client }, {}), (p) => p.AutoScalingGroups);
    for (const description of descriptions) {
      const { AutoScalingGroupName: name = '' } = description;
      if (named.length > 0 && !named.includes(name)) continue;
      const hooks = await readHooks(name);
      const isOurs = isKnown(hooks) && hooks.some(({ NotificationTargetARN }) => NotificationTargetARN === topicArn);
      if (isOurs || expected.includes(name)) examined.push(await readGroup(name, description, hooks));
      else if (isKnown(hooks)) others.push(name);
      else notRead.push(hooks === 'absent' ? name : `${name} (${hooks.unreadable})`);
    }
    const missing = expected.filter((name) => !examined.some((group) => group.name === name));
    return { isNamed: named.length > 0, examined, missing, others, notRead };
  });

  function readHooks(AutoScalingGroupName: string): Promise<Group['hooks']> {
    return read(async () => {
      // One answer has all hooks of a group.
      const { LifecycleHooks } = await client.send(new DescribeLifecycleHooksCommand({ AutoScalingGroupName }));
      return LifecycleHooks ?? [];
    });
  }

  async function readGroup(name: string, description: AutoScalingGroup, hooks: Group['hooks']): Promise<Group> {
    const input = { AutoScalingGroupName: name };
    const announcements = paginateDescribeNotificationConfigurations({ client }, { AutoScalingGroupNames: [name] });
    const refreshes = paginateDescribeInstanceRefreshes({ client }, input);
    const warmPool = paginateDescribeWarmPool({ client }, input);
    return {
      name,
      description,
      hooks,
      notifications: await read(() => collect(announcements, (page) => page.NotificationConfigurations)),
      refreshes: await read(() => collect(refreshes, (page) => page.InstanceRefreshes)),
      warmPool: description.WarmPoolConfiguration ? await read(() => collect(warmPool, (page) => page.Instances)) : [],
    };
  }
}
