import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { KEEP_ALIVE_MS } from './plan.ts';

const run = promisify(execFile);

/** A server line of the configuration. */
export interface Server {
  readonly instanceId: string;
  readonly address: string;
  readonly port: number;
}

export interface HaproxyOptions {
  /** The folder for configuration, process id and sockets; startHaproxy makes it. */
  readonly folder: string;
  /** The port that clients connect to. */
  readonly port: number;
  /** Whether HAProxy has health checks, retries and redispatch against servers that disappear. */
  readonly careful: boolean;
  /** The whole environment. */
  readonly environment: NodeJS.ProcessEnv;
}

/** A running HAProxy, in master-worker mode. */
export interface Haproxy {
  readonly folder: string;
  readonly port: number;
  readonly configFile: string;
  readonly pidFile: string;
  readonly statsSocket: string;
  readonly staticConfiguration: string;
  /**
   * Asks the worker in charge which servers get new requests: all but those in DRAIN or MAINT.
   * @returns their names; undefined when no worker answers, as for a moment of a reload.
   */
  serversInPlace(): Promise<ReadonlySet<string> | undefined>;
  stop(): Promise<void>;
}

/**
 * The version of the HAProxy on the environment's path.
 * @throws Error that says how to get one.
 */
export async function haproxyVersion(env: NodeJS.ProcessEnv): Promise<string> {
  try {
    const { stdout } = await run('haproxy', ['-v'], { env });
    return /version (\S+)/.exec(stdout)?.[1] ?? stdout;
  } catch (error) {
    throw new Error(
      'haproxy cannot be run; install it (Debian, Ubuntu: apt-get install haproxy; macOS: brew install haproxy)',
      { cause: error },
    );
  }
}

const START_TIMEOUT_MS = 10_000;
const STOP_TIMEOUT_MS = 5000;
const POLL_MS = 20;

/**
 * Starts HAProxy with these servers.
 * @throws Error with HAProxy's own words when it refuses its configuration.
 */
export async function startHaproxy(options: HaproxyOptions, servers: readonly Server[]): Promise<Haproxy> {
  const { folder, port, careful, environment } = options;
  // The longer one first: its error names the length that fits.
  const masterSocket = socketPath(folder, 'master.sock');
  const statsSocket = socketPath(folder, 'stats.sock');
  await mkdir(folder, { recursive: true });
  const configFile = join(folder, 'haproxy.cfg');
  const pidFile = join(folder, 'haproxy.pid');
  const staticConfiguration = configuration({ port, careful, statsSocket });
  await writeFile(configFile, staticConfiguration + serverLines(servers));
  const master = spawn('haproxy', ['-W', '-S', masterSocket, '-p', pidFile, '-f', configFile], {
    env: environment,
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let messages = '';
  master.stderr.setEncoding('utf8').on('data', (chunk: string) => {
    messages += chunk;
  });
  const exited = once(master, 'exit');
  const haproxy: Haproxy = {
    folder,
    port,
    configFile,
    pidFile,
    statsSocket,
    staticConfiguration,
    async serversInPlace() {
      const statistics = await ask(statsSocket, 'show stat');
      return statistics ? takingRequests(statistics) : undefined;
    },
    async stop() {
      // The workers, old ones too, end with their master.
      master.kill('SIGTERM');
      const impatience = setTimeout(() => master.kill('SIGKILL'), STOP_TIMEOUT_MS);
      await exited;
      clearTimeout(impatience);
    },
  };
  for (const deadline = Date.now() + START_TIMEOUT_MS; Date.now() < deadline; await sleep(POLL_MS)) {
    // The master loses a signal for a reload that comes before it listens itself.
    if ((await haproxy.serversInPlace()) && (await ask(masterSocket, 'show proc'))) return haproxy;
    if (master.exitCode !== null || master.signalCode !== null) break;
  }
  master.kill('SIGKILL');
  await exited;
  throw new Error(`haproxy does not start; it said: ${messages.trim() || 'nothing'}`);
}

// Linux's limit. HAProxy binds a socket under a temporary name with its process id, and renames it.
const LONGEST_SOCKET_PATH = 107;
const TEMPORARY_SUFFIX = '.1234567.tmp';

/** @throws Error that names TMPDIR when the path of the socket is too long. */
function socketPath(folder: string, name: string): string {
  const path = join(folder, name);
  const excess = Buffer.byteLength(path + TEMPORARY_SUFFIX) - LONGEST_SOCKET_PATH;
  if (excess <= 0) return path;
  const length = Buffer.byteLength(tmpdir());
  throw new Error(
    `TMPDIR is ${JSON.stringify(tmpdir())}, ${length} bytes long; expected at most ${length - excess} bytes, or the paths of HAProxy's sockets are too long`,
  );
}

/** The answer of HAProxy's Runtime API; undefined when nobody answers. */
async function ask(socket: string, command: string): Promise<string | undefined> {
  try {
    return await text(connect(socket).end(`${command}\n`));
  } catch {
    // The worker is still starting, or has just handed over to another.
    return undefined;
  }
}

/** The servers of these statistics that get new requests; https://docs.haproxy.org/2.6/management.html#9.1 */
function takingRequests(statistics: string): ReadonlySet<string> {
  const [header = '', ...lines] = statistics.trim().split('\n');
  const names = header.replace('# ', '').split(',');
  const [backend, server, status] = ['pxname', 'svname', 'status'].map((name) => names.indexOf(name));
  const rows = lines.map((line) => line.split(','));
  return new Set(
    rows
      .filter((row) => row[backend ?? 0] === 'web' && !/^(DRAIN|MAINT)/.test(row[status ?? 0] ?? ''))
      .map((row) => row[server ?? 0] ?? ''),
  );
}

/** The configuration but for the server lines, which belong at its end. */
export function configuration(options: { port: number; careful: boolean; statsSocket: string }): string {
  const { port, careful, statsSocket } = options;
  return `global
    # Old workers end by then, whatever their clients do.
    hard-stop-after 10s
    stats socket ${quoted(statsSocket)} mode 600 level admin expose-fd listeners

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
${careful ? CAREFUL_BACKEND : ''}`;
}

/** https://docs.haproxy.org/2.6/configuration.html#2.2 */
function quoted(text: string): string {
  return `"${text.replace(/[\\"$]/g, '\\$&')}"`;
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

export function serverLines(servers: readonly Server[]): string {
  return servers.map(({ instanceId, address, port }) => `    server ${instanceId} ${address}:${port}\n`).join('');
}
