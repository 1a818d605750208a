import { isKnown } from '../facts/fact.ts';
import type { Facts } from '../facts/facts.ts';
import { type Group, LAUNCHING } from '../facts/groups.ts';
import { broken, type Finding, ok, unknown } from '../link.ts';
import { putHookCommand } from './commands.ts';
import { ownHooks } from './hooks.ts';

const LAUNCH = 'autoscaling:EC2_INSTANCE_LAUNCH';

/** Whether the function learns about instances that return from a warm pool, to clear their tag. */
export function judgeReturnToService(facts: Facts, group: Group): Finding {
  const { notifications, description } = group;
  if (!description.WarmPoolConfiguration) return ok('no warm pool');
  if (!isReused(group)) return ok('a warm pool without reuse: no instance returns to it');
  if (ownHooks(facts, group, LAUNCHING).length > 0) return ok('a warm pool with reuse, and a launching hook');
  if (!isKnown(notifications)) return unknown(notifications);
  const isAnnounced = notifications.some(
    ({ TopicARN, NotificationType }) => TopicARN === facts.stack.topicArn && NotificationType === LAUNCH,
  );
  if (isAnnounced) return ok('a warm pool with reuse, and launch notifications (best effort)');
  const finding =
    'a warm pool with reuse, but no message about returns: returned instances keep the tag and get no requests';
  return broken(finding, 'send launch notifications to the topic: docs/deploy.md shows how');
}

/** Whether instances return to the warm pool. */
export function isReused({ description }: Group): boolean {
  return description.WarmPoolConfiguration?.InstanceReusePolicy?.ReuseOnScaleIn === true;
}

/** A root volume replacement tags every instance. Only a launching hook is documented for the way back into service. */
export function judgeRootVolumeReplacement(facts: Facts, group: Group): Finding {
  const { description, hooks, refreshes, name } = group;
  if (!isKnown(hooks)) return unknown(hooks);
  if (ownHooks(facts, group, LAUNCHING).length > 0) return ok('a launching hook clears the tags');
  const overrides = description.MixedInstancesPolicy?.LaunchTemplate?.Overrides ?? [];
  const hasImage = overrides.some(({ ImageId }) => ImageId !== undefined);
  if (!hasImage) {
    if (!isKnown(refreshes)) return unknown(refreshes);
    if (!refreshes.some(({ Strategy }) => Strategy === 'ReplaceRootVolume')) return ok('no such instance refresh');
  }
  const cause = hasImage ? 'a launch template override has an image' : 'an instance refresh replaced root volumes';
  const finding = `${cause}, but no launching hook clears the tags: such a refresh leaves every instance without requests`;
  const { stack } = facts;
  // CloudFormation cannot make a hook that exists already.
  const isOfStack = stack.parameters.AutoScalingGroupName === name;
  if (isOfStack) return broken(finding, 'deploy again with WithLaunchingHook=true');
  const hook = { LifecycleHookName: `${stack.name}-launch`, LifecycleTransition: LAUNCHING, HeartbeatTimeout: 30 };
  return broken(finding, putHookCommand(stack, name, hook));
}
