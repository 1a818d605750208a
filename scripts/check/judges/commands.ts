import type { LifecycleHook } from '@aws-sdk/client-auto-scaling';
import { printable } from '../../command.ts';
import { TERMINATING } from '../facts/groups.ts';
import type { Stack } from '../facts/stack.ts';

// The AWS CLI takes a value that begins with "-" for an option. The CLI replaces a value that begins with file:// or
// fileb://, and in version 1 also http:// or https://, by the content of the file or page:
// https://docs.aws.amazon.com/cli/latest/userguide/cli-usage-parameters-file.html
const NOT_PLAIN = /^(-|\w+:\/\/)/;

/**
 * A command of the AWS CLI for a POSIX shell.
 * @param options by name without `--`; each item of a list becomes a word.
 * @returns a sentence instead, if a value would not reach AWS as it is.
 */
export function awsCommand(
  region: string,
  operation: `${string} ${string}`,
  options: Readonly<Record<string, string | number | readonly string[]>>,
): string {
  const values = Object.entries({ region, ...options }).map(
    ([name, value]) => [name, [value].flat().map(String)] as const,
  );
  const [unsafe] = values.find(([, words]) => !words.every(isPlain)) ?? [];
  if (unsafe !== undefined)
    return `call ${operation} by hand: the AWS CLI may not read the value of --${unsafe} as text`;
  const rest = values.flatMap(([name, words]) => [`--${name}`, ...words.map(quoted)]);
  return ['aws', operation, ...rest].join(' ');
}

function isPlain(word: string): boolean {
  return !NOT_PLAIN.test(word) && printable(word) === word;
}

/** One word for a POSIX shell. */
function quoted(word: string): string {
  // Some shells expand a word that begins with "=".
  return /^[\w@%+:,./-][\w@%+=:,./-]*$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
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
