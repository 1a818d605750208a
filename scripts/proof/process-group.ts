import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';

/** A command, with all processes that it starts. */
export interface ProcessGroup {
  /** Resolves with the exit when the command has ended and its last line was read: "exit code 1", "SIGKILL". */
  readonly ended: Promise<string>;
  /** Ends the command and every process of its group. */
  stop(): Promise<void>;
}

export interface ProcessGroupOptions {
  /** The whole environment. */
  readonly environment: Readonly<Record<string, string>>;
  /** Gets each line of standard output and standard error. */
  readonly onLine: (line: string) => void;
  /** Ends the group when it is aborted. Ctrl-C in a terminal does not reach another process group. */
  readonly signal: AbortSignal;
}

const STOP_TIMEOUT_MS = 5000;
// A process that the command left running may keep the output open.
const OUTPUT_TIMEOUT_MS = 500;

/**
 * Starts a command in a process group of its own.
 * @throws Error when it cannot be started.
 */
export async function startProcessGroup(
  command: string,
  args: readonly string[],
  { environment, onLine, signal }: ProcessGroupOptions,
): Promise<ProcessGroup> {
  signal.throwIfAborted();
  const child = spawn(command, args, { env: environment, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
  for (const input of [child.stdout, child.stderr]) createInterface({ input }).on('line', onLine);
  const closed = new Promise((resolve) => child.once('close', resolve));
  const ended = once(child, 'exit').then(async ([code, killedBy]) => {
    await Promise.race([closed, sleep(OUTPUT_TIMEOUT_MS, undefined, { ref: false })]);
    return String(killedBy ?? `exit code ${code}`);
  });
  await Promise.race([once(child, 'spawn'), ended]);

  function kill(signalName: NodeJS.Signals): void {
    try {
      process.kill(-(child.pid ?? 0), signalName);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }
  const endEarly = () => kill('SIGTERM');
  signal.addEventListener('abort', endEarly);

  return {
    ended,
    async stop() {
      signal.removeEventListener('abort', endEarly);
      kill('SIGTERM');
      const impatience = setTimeout(kill, STOP_TIMEOUT_MS, 'SIGKILL');
      await ended;
      clearTimeout(impatience);
      // Processes that the command left running.
      kill('SIGKILL');
    },
  };
}
