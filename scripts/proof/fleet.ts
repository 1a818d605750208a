import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import type { Ec2Endpoint } from '../local-aws/ec2-endpoint.ts';
import type { Instance } from '../local-aws/ec2-instances.ts';
import type { Server } from './haproxy.ts';

/** The Auto Scaling group behind the load balancer. */
export const GROUP = 'web';

/** The instances of the Auto Scaling group: a server process each, and what EC2 knows of it. */
export interface Fleet {
  readonly servers: readonly Server[];
  readonly port: number;
  /** Kills an instance's server without a goodbye; EC2 then has the instance in this state. */
  kill(instanceId: string, state: 'terminated' | 'stopped'): Promise<void>;
  /** Starts a stopped instance, on its old address and port, with the tags that it had. */
  restart(instanceId: string): Promise<void>;
  stop(): Promise<void>;
}

/** Starts a fleet of so many instances, each on a loopback address of its own. */
export async function startFleet(ec2: Ec2Endpoint, size: number): Promise<Fleet> {
  const port = await freePort();
  const processes = new Map<string, ChildProcess>();

  async function start(instanceId: string, instance: Instance): Promise<void> {
    const file = fileURLToPath(new URL('fleet-process.ts', import.meta.url));
    const { privateIpAddress = '' } = instance;
    const child = fork(file, [instanceId, privateIpAddress, String(port)]);
    processes.set(instanceId, child);
    const ended = once(child, 'exit').then(() =>
      Promise.reject(
        new Error(
          `no server can listen on ${privateIpAddress}:${port} (macOS: sudo ifconfig lo0 alias ${privateIpAddress})`,
        ),
      ),
    );
    await Promise.race([once(child, 'message'), ended]);
    ended.catch(() => {});
    instance.state = 'running';
  }

  async function end(child: ChildProcess): Promise<void> {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
  }

  const servers = Array.from({ length: size }, (_, n) => ({
    instanceId: `i-0a1b2c3d4e5f607${n.toString(16).padStart(2, '0')}`,
    address: `127.0.0.${n + 2}`,
    port,
  }));
  const fleet: Fleet = {
    servers,
    port,
    async kill(instanceId, state) {
      const child = processes.get(instanceId);
      const instance = ec2.instances.get(instanceId);
      if (child) await end(child);
      if (instance) instance.state = state;
    },
    async restart(instanceId) {
      const instance = ec2.instances.get(instanceId);
      if (instance) await start(instanceId, instance);
    },
    async stop() {
      await Promise.all([...processes.values()].map(end));
    },
  };
  try {
    await Promise.all(
      servers.map(({ instanceId, address }) => {
        const tags = new Map([['aws:autoscaling:groupName', GROUP]]);
        const instance: Instance = { tags, privateIpAddress: address, state: 'pending' };
        ec2.instances.set(instanceId, instance);
        return start(instanceId, instance);
      }),
    );
  } catch (error) {
    await fleet.stop();
    throw error;
  }
  return fleet;
}

// Below what systems give to outgoing connections: a port that a killed server leaves stays free for its return.
const LOWEST = 12_000;
const HIGHEST = 32_000;

/** A TCP port on 127.0.0.1 that nobody listens on. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = LOWEST + Math.floor(Math.random() * (HIGHEST - LOWEST));
    const server = createServer();
    try {
      await once(server.listen(port, '127.0.0.1'), 'listening');
      return port;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
    } finally {
      server.close();
    }
  }
}
