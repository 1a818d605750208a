import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { freePort } from '../free-port.ts';
import type { Ec2Endpoint } from '../local-aws/ec2-endpoint.ts';
import type { ServerLine } from './load-balancer.ts';

/** The Auto Scaling group behind the load balancer. */
export const GROUP = 'web';

const PROGRAM = fileURLToPath(new URL('fleet-process.ts', import.meta.url));

/**
 * Starts the instances of the Auto Scaling group. Each instance is an entry in EC2, and a server process on a loopback
 * address of its own.
 * @param started gets what ends the processes.
 */
export async function startFleet(ec2: Ec2Endpoint, size: number, started: AsyncDisposableStack) {
  const port = await freePort();
  const servers: readonly ServerLine[] = Array.from({ length: size }, (_, n) => ({
    instanceId: `i-0a1b2c3d4e5f607${n.toString(16).padStart(2, '0')}`,
    address: `127.0.0.${n + 2}`,
    port,
  }));
  const endOf = new Map<string, () => Promise<void>>();

  async function start({ instanceId, address }: ServerLine): Promise<void> {
    const child = fork(PROGRAM, [instanceId, address, String(port)]);
    const exited = once(child, 'exit');
    const end = async () => {
      child.kill('SIGKILL');
      await exited;
    };
    endOf.set(instanceId, end);
    started.defer(end);
    await Promise.race([once(child, 'message'), exited]);
    if (child.exitCode !== null) {
      throw new Error(`no server can listen on ${address}:${port} (macOS: sudo ifconfig lo0 alias ${address})`);
    }
    setState(instanceId, 'running');
  }

  function setState(instanceId: string, state: 'running' | 'stopped' | 'terminated'): void {
    const instance = ec2.instances.get(instanceId);
    if (instance) instance.state = state;
  }

  for (const { instanceId, address } of servers) {
    const tags = new Map([['aws:autoscaling:groupName', GROUP]]);
    ec2.instances.set(instanceId, { tags, privateIpAddress: address, state: 'pending' });
  }
  await Promise.all(servers.map(start));
  return {
    servers,
    /** The port of every server. */
    port,
    /** Kills an instance's server with SIGKILL, and gives the instance this state in EC2. */
    async kill(instanceId: string, state: 'terminated' | 'stopped'): Promise<void> {
      await endOf.get(instanceId)?.();
      setState(instanceId, state);
    },
    /** Starts a stopped instance again, with the same address, port and tags. */
    async restart(instanceId: string): Promise<void> {
      const server = servers.find((server) => server.instanceId === instanceId);
      if (server) await start(server);
    },
  };
}
