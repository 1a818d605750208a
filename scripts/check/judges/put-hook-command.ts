import type { LifecycleHook } from '@aws-sdk/client-auto-scaling';
import { TERMINATING } from '../facts/groups.ts';
import type { Stack } from '../facts/stack.ts';
import { awsCommand } from './aws-command.ts';

/**
 * Puts a hook to the topic, with the stack's own role. Text that somebody gave the hook (its metadata) is not repeated.
 * @param group undefined leaves it to $GROUP.
 * @param hook what differs from the terminating hook of template.yaml.
 */
export function putHookCommand(stack: Stack, group: string | undefined, hook: LifecycleHook = {}): string {
  const command = awsCommand(stack.region, 'autoscaling put-lifecycle-hook', {
    'lifecycle-hook-name': hook.LifecycleHookName ?? stack.name,
    'lifecycle-transition': hook.LifecycleTransition ?? TERMINATING,
    'heartbeat-timeout': hook.HeartbeatTimeout ?? stack.parameters.HeartbeatTimeout,
    'default-result': 'CONTINUE',
    'notification-target-arn': stack.topicArn,
    'role-arn': stack.hookRoleArn,
    'auto-scaling-group-name': group,
  });
  return group === undefined ? `${command} --auto-scaling-group-name "\${GROUP:?name of the group}"` : command;
}
