import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';

/** The files of one HAProxy. */
export interface HaproxyFiles {
  readonly folder: string;
  readonly configFile: string;
  /** Holds the process id of the master, which reloads at SIGUSR2. */
  readonly pidFile: string;
  /** Serves HAProxy's Runtime API, with level admin. */
  readonly statsSocket: string;
  readonly masterSocket: string;
}

/** A running HAProxy, in master-worker mode. */
export interface Haproxy extends HaproxyFiles {
  /**
   * Sends a command to the Runtime API of the current worker.
   * @throws Error when no worker answers, which happens for a moment during a reload.
   */
  ask(command: string): Promise<string>;
  /** Reloads the configuration file. Resolves when the new worker answers. */
  reload(): Promise<void>;
  /** Ends the master and all workers. */
  stop(): Promise<void>;
}

const START_TIMEOUT_MS = 30_000;
const STOP_TIMEOUT_MS = 5000;
const ANSWER_TIMEOUT_MS = 5000;
const POLL_MS = 20;

/**
 * Starts HAProxy. Makes the folder if the folder is missing.
 * @param configuration begins with the `globalSection` of the folder.
 * @throws Error with HAProxy's own words when HAProxy refuses the configuration.
 */
export async function startHaproxy(
  folder: string,
  configuration: string,
  environment: NodeJS.ProcessEnv = process.env,
): Promise<Haproxy> {
  const files = filesIn(folder);
  const { configFile, pidFile, statsSocket, masterSocket } = files;
  await mkdir(folder, { recursive: true });
  await writeFile(configFile, configuration);
  const master = spawn('haproxy', ['-W', '-S', masterSocket, '-p', pidFile, '-f', configFile], {
    env: environment,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let messages = '';
  master.stderr.setEncoding('utf8').on('data', (chunk: string) => {
    messages += chunk;
  });
  const exited = once(master, 'exit');
  await Promise.race([once(master, 'spawn'), exited]);

  const ask = (command: string) => askSocket(statsSocket, command);
  /** The process id of the current worker. Asks the master first: a reload signal is lost until its socket answers. */
  async function worker(): Promise<string | undefined> {
    try {
      await askSocket(masterSocket, 'show proc');
      return /^Pid: (\d+)$/m.exec(await ask('show info'))?.[1];
    } catch {
      return undefined;
    }
  }
  /** Waits for a worker with another process id. */
  async function nextWorker(before?: string): Promise<void> {
    for (const deadline = Date.now() + START_TIMEOUT_MS; Date.now() < deadline; await sleep(POLL_MS)) {
      if (![before, undefined].includes(await worker())) return;
      if (master.exitCode !== null || master.signalCode !== null) break;
    }
    throw new Error(`haproxy does not start; it said: ${messages.trim() || 'nothing'}`);
  }
  async function end(signal: NodeJS.Signals): Promise<void> {
    master.kill(signal);
    const impatience = setTimeout(() => master.kill('SIGKILL'), STOP_TIMEOUT_MS);
    await exited;
    clearTimeout(impatience);
  }

  try {
    await nextWorker();
  } catch (error) {
    await end('SIGKILL');
    throw error;
  }
  return {
    ...files,
    ask,
    async reload() {
      const before = await worker();
      master.kill('SIGUSR2');
      await nextWorker(before);
    },
    async stop() {
      // The workers, old ones too, end with their master, and leave the socket.
      await end('SIGTERM');
      await rm(statsSocket, { force: true });
    },
  };
}

/** The beginning of a configuration for `startHaproxy`. The caller may add lines to the `global` section. */
export function globalSection(folder: string): string {
  // https://docs.haproxy.org/2.6/configuration.html#2.2
  const quoted = filesIn(folder).statsSocket.replace(/[\\"]/g, '\\$&');
  return `global
    stats socket "${quoted}" mode 600 level admin expose-fd listeners
`;
}

// Linux's limit. HAProxy first binds a socket to a temporary path, which has the process id, and then renames it.
const LONGEST_SOCKET_PATH = 107;
const TEMPORARY_SUFFIX = '.1234567.tmp';

/**
 * The files of an HAProxy in this folder.
 * @throws Error that names TMPDIR when the paths of the sockets are too long.
 */
export function filesIn(folder: string): HaproxyFiles {
  const masterSocket = join(folder, 'master.sock');
  const excess = Buffer.byteLength(masterSocket + TEMPORARY_SUFFIX) - LONGEST_SOCKET_PATH;
  if (excess > 0) {
    const length = Buffer.byteLength(tmpdir());
    throw new Error(
      `TMPDIR is ${JSON.stringify(tmpdir())}, ${length} bytes long; expected at most ${length - excess} bytes, or the paths of HAProxy's sockets are too long`,
    );
  }
  return {
    folder,
    configFile: join(folder, 'haproxy.cfg'),
    pidFile: join(folder, 'haproxy.pid'),
    statsSocket: join(folder, 'stats.sock'),
    masterSocket,
  };
}

/**
 * Sends one command to a socket of HAProxy.
 * @throws Error when nobody answers.
 */
export async function askSocket(path: string, command: string, signal?: AbortSignal): Promise<string> {
  const socket = connect({ path, ...(signal && { signal }) }).end(`${command}\n`);
  socket.setTimeout(ANSWER_TIMEOUT_MS, () => socket.destroy(new Error('no answer')));
  return await text(socket);
}
