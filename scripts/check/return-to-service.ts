import { type AutoScalingClient, paginateDescribeNotificationConfigurations } from '@aws-sdk/client-auto-scaling';
import { awsCommand } from './aws-command.ts';
import { type Group, LAUNCHING, ownHooks } from './groups.ts';
import { checkLaunchingHooks } from './hooks.ts';
import { examine, type Link } from './link.ts';
import type { Stack } from './stack.ts';

const LAUNCH = 'autoscaling:EC2_INSTANCE_LAUNCH';

/** Whether the function hears of instances that come back from a warm pool, to clear their tag. */
export async function checkReturn(
  autoScaling: AutoScalingClient,
  stack: Stack,
  group: Group,
): Promise<readonly Link[]> {
  const links = await examine('return to service', group.name, async (as) => {
    const { WarmPoolConfiguration: pool } = group.description;
    if (!pool) return as.ok('no warm pool');
    if (!pool.InstanceReusePolicy?.ReuseOnScaleIn) return as.ok('a warm pool, to which no instance returns');
    if (ownHooks(group, stack, LAUNCHING).length > 0) return as.ok('a warm pool with reuse, and a launching hook');
    const types: string[] = [];
    const pages = paginateDescribeNotificationConfigurations(
      { client: autoScaling },
      { AutoScalingGroupNames: [group.name] },
    );
    for await (const { NotificationConfigurations = [] } of pages) {
      const own = NotificationConfigurations.filter(({ TopicARN }) => TopicARN === stack.topicArn);
      types.push(...own.flatMap(({ NotificationType }) => NotificationType ?? []));
    }
    if (types.includes(LAUNCH)) return as.ok('a warm pool with reuse, and launch notifications, which are best effort');
    const found =
      'a warm pool with reuse, but neither launch notifications nor a launching hook to the topic: what the next scale-in puts back keeps its tag, and gets no requests when it returns';
    // It overwrites what there is for this topic.
    const mend = awsCommand(stack.region, 'autoscaling put-notification-configuration', {
      'auto-scaling-group-name': group.name,
      'notification-types': [...types, LAUNCH],
      'topic-arn': stack.topicArn,
    });
    return as.broken(found, mend);
  });
  return [...links, ...checkLaunchingHooks(stack, group)];
}
