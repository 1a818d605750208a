import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { vi } from 'vitest';

/** A running HAProxy, in master-worker mode, with a stats socket. */
export interface SocketHaproxy {
  readonly socket: string;
  /** Sends a command to the current worker. */
  ask(command: string): Promise<string>;
  /** The state of each server in `show stat`, such as `web/a=DRAIN`, in the order of the configuration. */
  states(): Promise<string[]>;
  reload(): Promise<void>;
  stop(): Promise<void>;
}

/** Starts HAProxy with these servers in each of these backends. HAProxy never connects to them. */
export async function startHaproxy(
  folder: string,
  { name = 'haproxy', servers, backends = ['web'] }: { name?: string; servers: string[]; backends?: string[] },
): Promise<SocketHaproxy> {
  const file = join(folder, `${name}.cfg`);
  const socket = join(folder, `${name}.sock`);
  const sections = backends.map((backend) => [
    `backend ${backend}`,
    ...servers.map((server, n) => `    server ${server} 127.0.0.1:${9000 + n}`),
  ]);
  await writeFile(
    file,
    `global
    stats socket ${socket} level admin
defaults
    mode http
    timeout connect 1s
    timeout client 1s
    timeout server 1s
${sections.flat().join('\n')}
`,
  );
  const masterSocket = join(folder, `${name}.master.sock`);
  const haproxy: ChildProcess = spawn('haproxy', ['-W', '-S', masterSocket, '-f', file], { stdio: 'ignore' });
  const exited = once(haproxy, 'exit');

  async function ask(command: string): Promise<string> {
    return await text(connect(socket).end(`${command}\n`));
  }

  async function worker(): Promise<string> {
    const answer = await ask('show info');
    const [, pid] = /^Pid: (\d+)$/m.exec(answer) ?? [];
    if (!pid) throw new Error(`HAProxy answered: ${answer}`);
    return pid;
  }

  async function ready(): Promise<void> {
    await vi.waitFor(worker, { timeout: 60_000 });
    // The master loses the signal for a reload until its own socket answers.
    await vi.waitFor(() => text(connect(masterSocket).end('show proc\n')), { timeout: 60_000 });
  }
  const failure = exited.then(([code]) => Promise.reject(new Error(`haproxy ended with exit code ${code}`)));
  try {
    await Promise.race([ready(), failure]);
  } catch (error) {
    haproxy.kill('SIGKILL');
    throw error;
  }
  return {
    socket,
    ask,
    async states() {
      const [, ...lines] = (await ask('show stat -1 4 -1')).trim().split('\n');
      return lines.map((line) => line.split(',')).map((columns) => `${columns[0]}/${columns[1]}=${columns[17]}`);
    },
    async reload() {
      const before = await worker();
      haproxy.kill('SIGUSR2');
      await vi.waitFor(
        async () => {
          if ((await worker()) === before) throw new Error('the old worker still answers');
        },
        { timeout: 60_000 },
      );
    },
    async stop() {
      haproxy.kill('SIGTERM');
      await exited;
      await rm(socket, { force: true });
    },
  };
}
