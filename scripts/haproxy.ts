import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';

export type HaproxyFiles = ReturnType<typeof filesIn>;

const START_TIMEOUT_MS = 30_000;
const ANSWER_TIMEOUT_MS = 5000;
const POLL_MS = 20;

/**
 * Starts HAProxy in master-worker mode. The folder is made if it is missing.
 * @param configuration begins with the `globalSection` of the folder.
 * @throws Error with HAProxy's own words when HAProxy refuses the configuration.
 */
export async function startHaproxy(
  folder: string,
  configuration: string,
  environment: NodeJS.ProcessEnv = process.env,
) {
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
    await exited;
  }

  try {
    await nextWorker();
  } catch (error) {
    await end('SIGKILL');
    throw error;
  }
  return {
    ...files,
    /**
     * Sends a command to the Runtime API of the current worker.
     * @throws Error when no worker answers, which happens for a moment during a reload.
     */
    ask,
    /** Reloads the configuration file. Resolves when the new worker answers. */
    async reload(): Promise<void> {
      const before = await worker();
      master.kill('SIGUSR2');
      await nextWorker(before);
    },
    /** Ends the master and all workers. */
    async stop(): Promise<void> {
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

// Linux's limit for the path of a socket. HAProxy adds a temporary name with its process id.
const LONGEST_FOLDER = 107 - '/master.sock.1234567.tmp'.length;

/**
 * The files of an HAProxy in this folder.
 * @throws Error that names TMPDIR when the paths of the sockets are too long.
 */
export function filesIn(folder: string) {
  const excess = Buffer.byteLength(folder) - LONGEST_FOLDER;
  if (excess > 0) {
    const longest = Buffer.byteLength(tmpdir()) - excess;
    throw new Error(`TMPDIR is ${JSON.stringify(tmpdir())}; expected at most ${longest} bytes, for HAProxy's sockets`);
  }
  return {
    folder,
    configFile: join(folder, 'haproxy.cfg'),
    /** Holds the process id of the master, which reloads at SIGUSR2. */
    pidFile: join(folder, 'haproxy.pid'),
    /** Serves HAProxy's Runtime API, with level admin. */
    statsSocket: join(folder, 'stats.sock'),
    masterSocket: join(folder, 'master.sock'),
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
