import { spawn } from 'node:child_process';
import { addAbortListener, once } from 'node:events';
import { basename } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import type { RunningConsumer } from './consumer.ts';

export interface ProgramOptions {
  /** The whole environment. */
  readonly environment: Readonly<Record<string, string>>;
  /** Ends the program. */
  readonly signal: AbortSignal;
  /** Gets each line of standard output and standard error. Returns a sentence if the line shows a failure. */
  readonly failureIn: (line: string) => string | undefined;
  /** Whether the first run has ended. */
  readonly hasRun: () => boolean | Promise<boolean>;
}

// A program that refuses to start may give the reason in several lines.
const MOST_LINES = 3;
const POLL_MS = 50;
const START_TIMEOUT_MS = 60_000;

/**
 * Starts a program that reads the tag again and again, in a process group of its own. The group also holds all processes
 * that the program starts.
 * @returns after the program's first run.
 * @throws Error when the program cannot be started, or fails or ends before its first run has ended.
 */
export async function startProgram(
  command: string,
  args: readonly string[],
  { environment, signal, failureIn, hasRun }: ProgramOptions,
): Promise<RunningConsumer> {
  signal.throwIfAborted();
  const child = spawn(command, args, { env: environment, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
  await once(child, 'spawn');
  const failures: string[] = [];
  const printed: string[] = [];
  for (const input of [child.stdout, child.stderr]) {
    createInterface({ input }).on('line', (line) => {
      printed.push(line);
      const failure = failureIn(line);
      if (failure !== undefined) failures.push(failure);
    });
  }
  let stopping = false;
  const closed = once(child, 'close').then(([code, killedBy]) => {
    const lastLines = printed.slice(-MOST_LINES).join('; ');
    if (!stopping) failures.push(`${basename(command)} ended (${killedBy ?? `exit code ${code}`}): ${lastLines}`);
  });
  // Ctrl-C in a terminal does not reach another process group.
  const interruption = addAbortListener(signal, killGroup);

  function killGroup(): void {
    try {
      process.kill(-(child.pid ?? 0), 'SIGKILL');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }

  async function stop(): Promise<void> {
    stopping = true;
    interruption[Symbol.dispose]();
    killGroup();
    await closed;
  }

  try {
    const deadline = Date.now() + START_TIMEOUT_MS;
    while (failures.length === 0 && !(await hasRun())) {
      if (Date.now() > deadline) failures.push(`${basename(command)} has not run for ${START_TIMEOUT_MS / 1000} s`);
      await sleep(POLL_MS);
    }
    if (failures.length === 0) return { failures, stop };
  } catch (error) {
    await stop();
    throw error;
  }
  await stop();
  throw new Error(failures.join('; '));
}
