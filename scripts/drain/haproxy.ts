import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { rename, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { KEEP_ALIVE_MS } from './plan.ts';

const run = promisify(execFile);

/** HAProxy is not there, refuses its configuration, or does not do as it is told. */
export class HaproxyError extends Error {
  override readonly name = 'HaproxyError';
}

/** A server line of the configuration. */
export interface Server {
  readonly instanceId: string;
  readonly address: string;
  readonly port: string;
}

export interface HaproxyOptions {
  /** Where configuration, process id and socket lie. */
  readonly folder: string;
  /** The port that clients connect to. */
  readonly port: number;
  /** Whether HAProxy does what it can by itself against servers that disappear. */
  readonly careful: boolean;
}

/** A running HAProxy, in master-worker mode. */
export interface Haproxy {
  /** Checks a configuration with these servers, reloads, and waits until a new worker has taken over. */
  reload(servers: readonly Server[]): Promise<void>;
  stop(): Promise<void>;
}

/**
 * The version of the HAProxy on the path.
 * @throws HaproxyError that says how to get one.
 */
export async function haproxyVersion(): Promise<string> {
  try {
    const { stdout } = await run('haproxy', ['-v']);
    return /version (\S+)/.exec(stdout)?.[1] ?? stdout;
  } catch (error) {
    throw new HaproxyError(
      'haproxy cannot be run; install it (Debian, Ubuntu: apt-get install haproxy; macOS: brew install haproxy)',
      { cause: error },
    );
  }
}

const RELOAD_TIMEOUT_MS = 10_000;
const STOP_TIMEOUT_MS = 5000;
const POLL_MS = 20;

/** Starts HAProxy with these servers. */
export async function startHaproxy(options: HaproxyOptions, servers: readonly Server[]): Promise<Haproxy> {
  const file = join(options.folder, 'haproxy.cfg');
  const socket = join(options.folder, 'master.sock');
  const pidFile = join(options.folder, 'haproxy.pid');
  await writeChecked(file, configuration(options, servers));
  const master = spawn('haproxy', ['-W', '-S', socket, '-p', pidFile, '-f', file], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let messages = '';
  master.stderr.setEncoding('utf8').on('data', (chunk: string) => {
    messages += chunk;
  });
  const exited = once(master, 'exit');
  let worker = await nextWorker(undefined);

  /** Waits for a worker other than this one. */
  async function nextWorker(previous: string | undefined): Promise<string> {
    for (const deadline = Date.now() + RELOAD_TIMEOUT_MS; Date.now() < deadline; await sleep(POLL_MS)) {
      const current = await currentWorker(socket);
      if (current !== undefined && current !== previous) return current;
      if (master.exitCode !== null || master.signalCode !== null) break;
    }
    master.kill('SIGKILL');
    throw new HaproxyError(`haproxy has no new worker; it said: ${messages.trim() || 'nothing'}`);
  }

  return {
    async reload(next) {
      await writeChecked(file, configuration(options, next));
      master.kill('SIGUSR2');
      worker = await nextWorker(worker);
    },
    async stop() {
      // The workers, old ones too, end with their master.
      master.kill('SIGTERM');
      const impatience = setTimeout(() => master.kill('SIGKILL'), STOP_TIMEOUT_MS);
      await exited;
      clearTimeout(impatience);
      await rm(pidFile, { force: true });
    },
  };
}

/** Puts a configuration in its place once HAProxy has found nothing wrong with it. */
async function writeChecked(file: string, content: string): Promise<void> {
  const candidate = `${file}.new`;
  await writeFile(candidate, content);
  try {
    await run('haproxy', ['-c', '-f', candidate]);
  } catch (error) {
    throw new HaproxyError(`haproxy refuses its configuration: ${(error as { stderr: string }).stderr}`);
  }
  await rename(candidate, file);
}

/** The process id of the worker in charge, as the master names it; undefined before the master answers. */
async function currentWorker(socket: string): Promise<string | undefined> {
  try {
    const answer = await text(connect(socket).end('show proc\n'));
    return /^# workers\n(\d+)/m.exec(answer)?.[1];
  } catch {
    // The master is still starting, or starts itself anew for a reload.
    return undefined;
  }
}

function configuration({ port, careful }: HaproxyOptions, servers: readonly Server[]): string {
  return `global
    # Old workers end by then, whatever their clients do.
    hard-stop-after 10s

defaults
    mode http
    timeout connect 1s
    timeout client 10s
    timeout server 10s
    timeout http-keep-alive ${KEEP_ALIVE_MS}ms
    # A reload closes idle client connections at once, and a request that is already on its way over one of them is
    # reset. With this option they are closed with the answer to their next request.
    option idle-close-on-response
${careful ? CAREFUL_DEFAULTS : ''}
frontend web
    bind 127.0.0.1:${port}
    default_backend web

backend web
    balance roundrobin
${careful ? CAREFUL_BACKEND : ''}${servers.map(serverLine).join('')}`;
}

const CAREFUL_DEFAULTS = `    option redispatch 1
    retries 3
    retry-on all-retryable-errors
    option httpchk GET /
    default-server check inter 250ms fall 2 rise 2 observe layer4 error-limit 1 on-error mark-down
`;

const CAREFUL_BACKEND = `    # It may have been carried out.
    http-request disable-l7-retry if METH_POST
`;

function serverLine({ instanceId, address, port }: Server): string {
  return `    server ${instanceId} ${address}:${port}\n`;
}
