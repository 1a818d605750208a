import { AsyncLocalStorage } from 'node:async_hooks';
import type { ChildProcess } from 'node:child_process';
import { subscribe } from 'node:diagnostics_channel';
import { fileURLToPath } from 'node:url';
import { own } from './consumers/own.ts';

const PROJECT = fileURLToPath(new URL('../../', import.meta.url));

const record = new AsyncLocalStorage<Set<string>>();

// https://nodejs.org/api/diagnostics_channel.html#child-process
subscribe('tracing:child_process.spawn:start', (message) => {
  const { spawnargs } = (message as { process: ChildProcess }).process;
  record.getStore()?.add(spawnargs.join(' ').replaceAll(PROJECT, ''));
});

/** Calls a function, and records the command lines of the processes that the function starts, also later. */
export function recordCommands<T>(commands: Set<string>, run: () => T): T {
  return record.run(commands, run);
}

/**
 * The name of the consumer that ran. Only `own` starts no command. Each of the others has its name in a command.
 * @returns the commands instead of a name if they do not belong to the consumer that was asked for.
 */
export function consumerThatRan(asked: string, commands: Iterable<string>): string {
  const all = [...commands];
  if (all.length === 0) return own.name;
  return asked !== own.name && all.some((command) => command.includes(asked)) ? asked : all.join('; ');
}
