import type { LifecycleHook } from '@aws-sdk/client-auto-scaling';
import { TERMINATING } from '../facts/groups.ts';
import type { Stack } from '../facts/stack.ts';

/**
 * A command of the AWS CLI for a POSIX shell.
 * @param options by name without `--`; each item of a list becomes a word.
 */
export function awsCommand(
  region: string,
  operation: `${string} ${string}`,
  options: Readonly<Record<string, string | number | readonly string[]>>,
): string {
  const words = Object.entries({ region, ...options }).flatMap(([name, value]) => [
    `--${name}`,
    ...[value].flat().map((word) => quoted(String(word))),
  ]);
  return ['aws', operation, ...words].join(' ');
}

/** One word for a POSIX shell. */
function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/**
 * Puts a hook to the topic, with the stack's own role. Text that somebody gave the hook (its metadata) is not repeated.
 * @param hook what differs from the terminating hook of template.yaml.
 */
export function putHookCommand({ name, region, ...stack }: Stack, group: string, hook: LifecycleHook = {}): string {
  return awsCommand(region, 'autoscaling put-lifecycle-hook', {
    'lifecycle-hook-name': hook.LifecycleHookName ?? name,
    'lifecycle-transition': hook.LifecycleTransition ?? TERMINATING,
    'heartbeat-timeout': hook.HeartbeatTimeout ?? stack.parameters.HeartbeatTimeout ?? '',
    'default-result': 'CONTINUE',
    'notification-target-arn': stack.topicArn,
    'role-arn': stack.hookRoleArn,
    'auto-scaling-group-name': group,
  });
}
