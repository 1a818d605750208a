import { AsyncLocalStorage } from 'node:async_hooks';
import type { ChildProcess } from 'node:child_process';
import { subscribe } from 'node:diagnostics_channel';
import { fileURLToPath } from 'node:url';

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
