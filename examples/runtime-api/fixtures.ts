import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdir, open, writeFile } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { test as base } from 'vitest';
import { startEc2Endpoint } from '../../scripts/local-aws/ec2-endpoint.ts';
import type { Instance } from '../../scripts/local-aws/ec2-instances.ts';
import { temporaryFolder } from '../../scripts/temporary-folder.ts';
import { awsCli } from '../../test/helpers/aws-cli.ts';
import { startHaproxy } from '../../test/helpers/stats-socket.ts';

export const SCRIPT = 'examples/runtime-api/drain-tagged-servers.sh';

/** A running script. Its `aws` waits for the test, so the script changes nothing while the test acts. */
export interface RunningScript {
  readonly process: ChildProcess;
  /** Waits until the script asks EC2, and answers. */
  answer(): Promise<void>;
  /** Answers one question, and waits for the next one. The script has then acted on the answer. */
  look(): Promise<void>;
  /** The script's lines on standard output. */
  lines(): string[];
  errors(): string;
  stop(): Promise<void>;
}

/** The last command of the script's `aws`, after it has waited for the test and printed the test's answer. */
export const AWS = {
  succeeds: 'exit 0',
  fails: 'exit 255',
  // Takes a second for each call.
  real: `PATH=\${PATH#*:} exec aws "$@"`,
};

export interface ScriptOptions {
  readonly aws?: string;
  readonly settings?: Readonly<Record<string, string>>;
}

/** A test with its own folder and its own EC2 endpoint. Everything that the test starts ends with the test. */
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
  .extend('ec2', async ({ cleanup }) => cleanup.adopt(await startEc2Endpoint(), (ec2) => ec2.close()))
  .extend(
    'given',
    ({ ec2 }) =>
      (id: string, tags: Record<string, string> = {}, state: Instance['state'] = 'running') => {
        const instance = { tags: new Map(Object.entries({ 'aws:autoscaling:groupName': 'web', ...tags })), state };
        ec2.instances.set(id, instance);
        return instance as Instance;
      },
  )
  .extend(
    'haproxyWith',
    ({ cleanup, folder }) =>
      async (servers: string[], options: { name?: string; backends?: string[] } = {}) =>
        cleanup.adopt(await startHaproxy(folder, { servers, ...options }), (haproxy) => haproxy.stop()),
  )
  .extend(
    'listen',
    ({ cleanup, folder } /** Listens on a socket as HAProxy does. */) =>
      async (onConnection: (connection: Socket) => void, socket = join(folder, 'fake.sock')): Promise<string> => {
        const server = createServer((connection) => {
          // The script may be killed in the middle of an answer.
          connection.on('error', () => {});
          onConnection(connection);
        });
        cleanup.defer(() => void server.close());
        await once(server.listen(socket), 'listening');
        return socket;
      },
  )
  .extend(
    'drainTagged',
    ({ cleanup, folder, ec2, listen }) =>
      async (sockets: string[], { aws = AWS.succeeds, settings }: ScriptOptions = {}): Promise<RunningScript> => {
        const own = join(folder, crypto.randomUUID());
        await mkdir(own);
        let question = Promise.withResolvers<Socket>();
        const gate = await listen((connection) => question.resolve(connection), join(own, 'gate.sock'));
        await writeFile(join(own, 'aws'), `#!/bin/sh\nsocat -u UNIX-CONNECT:${gate} -\n${aws}\n`, { mode: 0o755 });
        const env = awsCli(ec2.url, {
          PATH: `${own}:${process.env.PATH}`,
          STATE_DIRECTORY: join(folder, 'state'),
          INTERVAL: '0.01',
          ...settings,
        });
        // Files, because a pipe may deliver a line after the script's next question.
        const [out, err] = [join(own, 'out'), join(own, 'err')];
        await using outFile = await open(out, 'w');
        await using errFile = await open(err, 'w');
        // In its own process group, so that the script's commands end with the script.
        const child = spawn(SCRIPT, ['web', ...sockets], {
          env,
          detached: true,
          stdio: ['ignore', outFile.fd, errFile.fd],
        });
        const ended = once(child, 'exit');

        const errors = () => readFileSync(err, 'utf8');
        async function asks(): Promise<Socket> {
          const failure = ended.then(() => Promise.reject(new Error(`the script has ended: ${errors()}`)));
          return await Promise.race([question.promise, failure]);
        }
        function listing(): string {
          if (aws === AWS.real) return '';
          return [...ec2.instances]
            .filter(([, { tags }]) => tags.get('aws:autoscaling:groupName') === 'web')
            .map(
              ([id, { state, tags }]) => `${id}\t${state}\t${tags.get('remove_from_lb') === 'yes' ? '' : 'un'}tagged\n`,
            )
            .join('');
        }
        async function answer(): Promise<void> {
          const connection = await asks();
          question = Promise.withResolvers();
          connection.end(listing());
        }
        async function stop(): Promise<void> {
          try {
            process.kill(-(child.pid ?? 0), 'SIGKILL');
          } catch (error) {
            if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
          }
          await ended;
        }
        cleanup.defer(stop);
        return {
          process: child,
          answer,
          async look() {
            await answer();
            await asks();
          },
          lines: () => readFileSync(out, 'utf8').split('\n').slice(0, -1),
          errors,
          stop,
        };
      },
  );
