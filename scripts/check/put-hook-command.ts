import type { LifecycleHook } from '@aws-sdk/client-auto-scaling';
import { awsCommand } from './aws-command.ts';
import { TERMINATING } from './groups.ts';
import type { Stack } from './stack.ts';

/**
 * Puts a lifecycle hook. All of it is given, because what is left out of an existing hook may fall back to its default.
 * @param group undefined leaves it to $GROUP.
 * @param hook what differs from the terminating hook that the template would put.
 */
export function putHookCommand(stack: Stack, group: string | undefined, hook: LifecycleHook = {}): string {
  const command = awsCommand(stack.region, 'autoscaling put-lifecycle-hook', {
    'lifecycle-hook-name': hook.LifecycleHookName ?? stack.name,
    'lifecycle-transition': hook.LifecycleTransition ?? TERMINATING,
    'heartbeat-timeout': hook.HeartbeatTimeout ?? stack.parameters.HeartbeatTimeout,
    'default-result': 'CONTINUE',
    ...(hook.LifecycleHookName === undefined || hook.NotificationTargetARN === stack.topicArn
      ? { 'notification-target-arn': stack.topicArn, 'role-arn': hook.RoleARN ?? stack.hookRoleArn }
      : { 'notification-target-arn': hook.NotificationTargetARN, 'role-arn': hook.RoleARN }),
    'notification-metadata': hook.NotificationMetadata,
    'auto-scaling-group-name': group,
  });
  return group === undefined ? `${command} --auto-scaling-group-name "\${GROUP:?name of the group}"` : command;
}
