import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { makeTemporaryFolder, type TemporaryFolder } from '../aws/temporary-folder.ts';

/** A command that runs until it is stopped, with all processes that it starts. */
export interface ProcessGroup {
  /** Resolves when the command has ended, with how: "exit code 1", "SIGKILL". */
  readonly ended: Promise<string>;
  stop(): Promise<void>;
}

export interface ProcessGroupOptions {
  /** Where a file names the group, so that it ends with the working folder even when this process is killed. */
  readonly folder: string;
  /** The whole environment. */
  readonly environment: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Gets each line of standard output and standard error. */
  readonly onLine: (line: string) => void;
}

const STOP_TIMEOUT_MS = 5000;

/**
 * Starts a command in a process group of its own.
 * @throws Error when it cannot be started.
 */
export async function startProcessGroup(
  command: string,
  args: readonly string[],
  { folder, environment, cwd, onLine }: ProcessGroupOptions,
): Promise<ProcessGroup> {
  const child = spawn(command, args, { env: environment, cwd, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
  for (const input of [child.stdout, child.stderr]) createInterface({ input }).on('line', onLine);
  const ended = once(child, 'exit').then(([code, signal]) => String(signal ?? `exit code ${code}`));
  await Promise.race([once(child, 'spawn'), ended]);
  const file = join(folder, `${child.pid}.group`);
  await writeFile(file, String(child.pid));

  function kill(signal: NodeJS.Signals): void {
    try {
      process.kill(-(child.pid ?? 0), signal);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }

  return {
    ended,
    async stop() {
      kill('SIGTERM');
      const impatience = setTimeout(kill, STOP_TIMEOUT_MS, 'SIGKILL');
      await ended;
      clearTimeout(impatience);
      // What the command itself left running.
      kill('SIGKILL');
      await rm(file, { force: true });
    },
  };
}

// What outlives this process when it is killed: HAProxy and the consumers, by their process ids.
const END_OTHERS = `
  for file in "$1"/*/haproxy.pid; do [ ! -f "$file" ] || kill "$(cat "$file")"; done
  for file in "$1"/*/*.group; do [ ! -f "$file" ] || kill -s KILL -- "-$(cat "$file")"; done
`;

/** Makes an empty folder that goes with this process, and HAProxy and the consumers with it, even if it is killed. */
export function makeWorkingFolder(): TemporaryFolder {
  return makeTemporaryFolder('drain-', END_OTHERS);
}
