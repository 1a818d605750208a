import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { freePort } from '../free-port.ts';
import type { Ec2Endpoint } from '../local-aws/ec2-endpoint.ts';
import type { Instance } from '../local-aws/ec2-instances.ts';
import type { ServerLine } from './load-balancer.ts';

/** The Auto Scaling group behind the load balancer. */
export const GROUP = 'web';

const PROGRAM = fileURLToPath(new URL('fleet-process.ts', import.meta.url));

/**
 * Starts the instances of the Auto Scaling group. Each instance is an entry in EC2, and a server process on a loopback
 * address of its own.
 */
export async function startFleet(ec2: Ec2Endpoint, size: number) {
  const port = await freePort();
  const running = new Map<string, { child: ChildProcess; exited: Promise<unknown> }>();

  async function start({ instanceId, address }: ServerLine, instance: Instance): Promise<void> {
    const child = fork(PROGRAM, [instanceId, address, String(port)]);
    const exited = once(child, 'exit');
    running.set(instanceId, { child, exited });
    await Promise.race([once(child, 'message'), exited]);
    if (child.exitCode !== null) {
      throw new Error(`no server can listen on ${address}:${port} (macOS: sudo ifconfig lo0 alias ${address})`);
    }
    instance.state = 'running';
  }

  async function end(instanceId: string): Promise<void> {
    running.get(instanceId)?.child.kill('SIGKILL');
    await running.get(instanceId)?.exited;
  }

  const servers = Array.from({ length: size }, (_, n) => ({
    instanceId: `i-0a1b2c3d4e5f607${n.toString(16).padStart(2, '0')}`,
    address: `127.0.0.${n + 2}`,
    port,
  }));
  const fleet = {
    servers: servers as readonly ServerLine[],
    /** The port of every server. */
    port,
    /** Kills an instance's server with SIGKILL, and gives the instance this state in EC2. */
    async kill(instanceId: string, state: 'terminated' | 'stopped'): Promise<void> {
      await end(instanceId);
      const instance = ec2.instances.get(instanceId);
      if (instance) instance.state = state;
    },
    /** Starts a stopped instance again, with the same address, port and tags. */
    async restart(instanceId: string): Promise<void> {
      const server = servers.find((server) => server.instanceId === instanceId);
      const instance = ec2.instances.get(instanceId);
      if (server && instance) await start(server, instance);
    },
    async stop(): Promise<void> {
      await Promise.all([...running.keys()].map(end));
    },
  };
  try {
    await Promise.all(
      servers.map((server) => {
        const tags = new Map([['aws:autoscaling:groupName', GROUP]]);
        const instance: Instance = { tags, privateIpAddress: server.address, state: 'pending' };
        ec2.instances.set(server.instanceId, instance);
        return start(server, instance);
      }),
    );
  } catch (error) {
    await fleet.stop();
    throw error;
  }
  return fleet;
}
