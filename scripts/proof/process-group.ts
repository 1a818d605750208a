import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';

/** A command and all processes that it starts. */
export interface ProcessGroup {
  /** Ends the command and every process of its group. */
  stop(): Promise<void>;
}

export interface ProcessGroupOptions {
  /** The whole environment. */
  readonly environment: Readonly<Record<string, string>>;
  /** Gets each line of standard output and standard error. */
  readonly onLine: (line: string) => void;
  /** Called after the last line if the command ends before `stop`, with "exit code 1" or "SIGKILL". */
  readonly onEnd: (how: string) => void;
  /** Ends the group. Ctrl-C in a terminal does not reach another process group. */
  readonly signal: AbortSignal;
}

const STOP_TIMEOUT_MS = 5000;
// A process that the command left running may keep the output open.
const OUTPUT_TIMEOUT_MS = 500;

/**
 * Starts a command in a process group of its own.
 * @throws Error when the command cannot be started.
 */
export async function startProcessGroup(
  command: string,
  args: readonly string[],
  { environment, onLine, onEnd, signal }: ProcessGroupOptions,
): Promise<ProcessGroup> {
  signal.throwIfAborted();
  const child = spawn(command, args, { env: environment, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
  for (const input of [child.stdout, child.stderr]) createInterface({ input }).on('line', onLine);
  let stopping = false;
  const closed = new Promise((resolve) => child.once('close', resolve));
  const ended = once(child, 'exit').then(async ([code, killedBy]) => {
    await Promise.race([closed, sleep(OUTPUT_TIMEOUT_MS, undefined, { ref: false })]);
    if (!stopping) onEnd(killedBy ?? `exit code ${code}`);
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
    async stop() {
      stopping = true;
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
