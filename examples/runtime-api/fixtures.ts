import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { chmod, mkdir, open, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { test as base, expect } from 'vitest';
import { globalSection, startHaproxy } from '../../scripts/haproxy.ts';
import { parseStatistics } from '../../scripts/haproxy-statistics.ts';
import { type Ec2Endpoint, startEc2Endpoint } from '../../scripts/local-aws/ec2-endpoint.ts';
import type { Instance } from '../../scripts/local-aws/ec2-instances.ts';
import { temporaryFolder } from '../../scripts/temporary-folder.ts';
import { DEFAULT_TAG } from '../../src/settings.ts';
import { awsCli } from '../../test/helpers/aws-cli.ts';
import { instance, TAGGED } from '../fixtures.ts';

export const SCRIPT = 'examples/runtime-api/drain-tagged-servers.sh';
export const [A, B, C] = ['i-0000000a', 'i-0000000b', 'i-0000000c'];

/** The last command of the script's `aws`, after it has waited for the test and printed the test's answer. */
export const AWS = {
  succeeds: 'exit 0',
  fails: 'exit 255',
  // Takes a second for each call.
  real: `PATH=\${PATH#*:} exec aws "$@"`,
};

/** The beginning of the answer to `show servers state`. */
export const STATE_HEADER = `1
# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight \
srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state srv_agent_state \
bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord
`;

/** A server in the answer to `show servers state`. The numbers are those of HAProxy. */
export interface ServerState {
  readonly name: string;
  readonly address?: string;
  readonly port?: number;
  /** 0: down, 1: starts slowly, 2: up. */
  readonly operation?: number;
  /** 1: maintenance, 8: drain. */
  readonly admin?: number;
  readonly weight?: number;
  readonly hasCheck?: boolean;
}

export function stateRow(backend: string, server: ServerState): string {
  const { name, address = '-', port = 80, operation = 2, admin = 0, weight = 1, hasCheck = true } = server;
  const check = `1 9 6 3 4 ${hasCheck ? 6 : 0}`;
  return `3 ${backend} 1 ${name} ${address} ${operation} ${admin} ${weight} ${check} 0 0 0 - ${port} -\n`;
}

interface ScriptOptions {
  readonly aws?: string;
  readonly settings?: Readonly<Record<string, string>>;
  /** A program with arguments that starts the script. */
  readonly starter?: readonly string[];
}

/**
 * A test with its own folder and its own EC2 endpoint. Everything that the test starts ends with the test.
 * At its start, instance A carries the tag and instance B does not.
 */
export const test = base
  .extend('cleanup', async ({ task: _ }, { onCleanup }) => {
    const cleanup = new AsyncDisposableStack();
    onCleanup(() => cleanup.disposeAsync());
    return cleanup;
  })
  .extend('folder', async ({ cleanup }) => {
    const { path } = cleanup.use(await temporaryFolder('runtime-api-'));
    await mkdir(join(path, 'state'));
    return path;
  })
  .extend('ec2', async ({ cleanup }) => {
    const ec2 = cleanup.adopt(await startEc2Endpoint(), (endpoint) => endpoint.close());
    ec2.instances.set(A, instance(TAGGED)).set(B, instance());
    return ec2;
  })
  .extend('instanceA', ({ ec2 }) => ec2.instances.get(A) as Instance)
  .extend('haproxyWith', ({ cleanup, folder }) => {
    return async (servers: string[], { name = 'haproxy', backends = ['web'] } = {}) => {
      const port = await listeningPort(cleanup);
      const starting = startWithServers(join(folder, name), backends, servers, port);
      return cleanup.adopt(await starting, (haproxy) => haproxy.stop());
    };
  })
  .extend('haproxy', ({ haproxyWith }) => haproxyWith([A, B]))
  .extend('fakeHaproxy', ({ cleanup, folder }) => {
    /** Listens as HAProxy does. A command without an answer stays open. */
    return async (answer: (command: string) => string | undefined | Promise<string | undefined>) => {
      const socket = join(folder, 'fake.sock');
      const commands: string[] = [];
      await listen(cleanup, socket, (connection) => {
        connection.once('data', async (data) => {
          commands.push(data.toString());
          const reply = await answer(data.toString());
          if (reply !== undefined) connection.end(reply);
        });
      });
      return { statsSocket: socket, commands };
    };
  })
  .extend('drainTagged', ({ cleanup, folder, ec2 }) => {
    return (sockets: string[], options: ScriptOptions = {}) => startScript({ cleanup, folder, ec2 }, sockets, options);
  })
  /** A running script that has drained A. */
  .extend('script', async ({ haproxy, drainTagged }) => {
    const script = await drainTagged([haproxy.statsSocket]);
    await script.look();
    expect(await haproxy.states()).toEqual([`web/${A}=DRAIN`, `web/${B}=no check`]);
    return script;
  });

/** A port that takes connections, because the script connects to a server before the server becomes ready. */
async function listeningPort(cleanup: AsyncDisposableStack): Promise<number> {
  const server = createServer((connection) => void connection.on('error', () => {}).end());
  cleanup.defer(() => void server.close());
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return (server.address() as AddressInfo).port;
}

/** Starts HAProxy with these servers in each of these backends. HAProxy never connects to the servers. */
async function startWithServers(folder: string, backends: string[], servers: string[], port: number) {
  const lines = servers.map((server) => `    server ${server} 127.0.0.1:${port}`).join('\n');
  const sections = backends.map((backend) => `backend ${backend}\n${lines}\n`).join('');
  const defaults = 'defaults\n    mode http\n    timeout connect 1s\n    timeout client 1s\n    timeout server 1s\n';
  const haproxy = await startHaproxy(folder, `${globalSection(folder)}\n${defaults}${sections}`);
  return {
    ...haproxy,
    /** The state of each server in `show stat`, such as `web/a=DRAIN`, in the order of the configuration. */
    async states(): Promise<string[]> {
      const rows = parseStatistics(await haproxy.ask('show stat')) ?? [];
      const ofServers = rows.filter(({ name }) => name !== 'BACKEND');
      return ofServers.map(({ backend, name, status }) => `${backend}/${name}=${status}`);
    },
  };
}

/** Starts the script. Its `aws` waits for the test, so the script changes nothing while the test acts. */
async function startScript(
  { cleanup, folder, ec2 }: { cleanup: AsyncDisposableStack; folder: string; ec2: Ec2Endpoint },
  sockets: string[],
  { aws = AWS.succeeds, settings, starter = [] }: ScriptOptions,
) {
  const scriptFolder = join(folder, crypto.randomUUID());
  await mkdir(scriptFolder);
  const gate = join(scriptFolder, 'gate.sock');
  let question = Promise.withResolvers<Socket>();
  await listen(cleanup, gate, (connection) => question.resolve(connection));
  // The script may run as another user.
  await chmod(gate, 0o777);
  // The test answers for EC2 only.
  const wait = `[ "$1" = autoscaling ] || socat -u UNIX-CONNECT:${gate} -`;
  await writeFile(join(scriptFolder, 'aws'), `#!/bin/sh\n${wait}\n${aws}\n`, { mode: 0o755 });
  // Files, because a pipe may deliver a line after the script's next question.
  const [out, err] = [join(scriptFolder, 'out'), join(scriptFolder, 'err')];
  await using outFile = await open(out, 'w');
  await using errFile = await open(err, 'w');
  const [command = SCRIPT, ...args] = [...starter, SCRIPT, 'web', ...sockets];
  const child = spawn(command, args, {
    env: awsCli(ec2.url, {
      PATH: `${scriptFolder}:${process.env.PATH}`,
      STATE_DIRECTORY: join(folder, 'state'),
      INTERVAL: '0.01',
      ...settings,
    }),
    // In its own process group, so that the script's commands end with the script.
    detached: true,
    stdio: ['ignore', outFile.fd, errFile.fd],
  });
  const ended = once(child, 'exit');
  const errors = () => readFileSync(err, 'utf8');

  async function asks(): Promise<Socket> {
    const failure = ended.then(() => Promise.reject(new Error(`the script ended: ${errors()}`)));
    return await Promise.race([question.promise, failure]);
  }
  /** Waits until the script asks EC2, and answers. */
  async function answer(): Promise<void> {
    const connection = await asks();
    question = Promise.withResolvers();
    connection.end(aws === AWS.real ? '' : listing(ec2.instances));
  }
  async function stop(): Promise<void> {
    signalTo(-(child.pid ?? 0), 'SIGKILL');
    await ended;
  }
  cleanup.defer(stop);
  return {
    process: child,
    answer,
    /** Answers one question and waits for the next one. By then the script has acted on the answer. */
    async look() {
      await answer();
      await asks();
    },
    /** The lines that the script printed on standard output. */
    lines: () => readFileSync(out, 'utf8').split('\n').slice(0, -1),
    errors,
    stop,
  };
}

/** Sends a signal to a process, or to a process group with a negative id. Nothing happens if the process has ended. */
export function signalTo(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

async function listen(cleanup: AsyncDisposableStack, socket: string, onConnection: (connection: Socket) => void) {
  // The script ends its side before it gets the answer.
  const server = createServer({ allowHalfOpen: true }, (connection) => {
    // The script may be killed in the middle of an answer.
    connection.on('error', () => {});
    onConnection(connection);
  });
  cleanup.defer(() => void server.close());
  await once(server.listen(socket), 'listening');
}

/** The answer of the AWS CLI to the script's question. */
function listing(instances: Map<string, Instance>): string {
  return [...instances]
    .filter(([, { tags }]) => tags.get('aws:autoscaling:groupName') === 'web')
    .map(([id, { state, tags, privateIpAddress = 'None', ipv6Address = 'None' }]) => {
      const isTagged = tags.get(DEFAULT_TAG.key) === DEFAULT_TAG.value;
      return `${id}\t${state}\t${isTagged ? 'tagged' : 'untagged'}\t${privateIpAddress}\t${ipv6Address}\n`;
    })
    .join('');
}
