import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Ec2Endpoint, Instance } from '../aws/ec2-endpoint.ts';
import { GROUP, PORT_TAG } from './builder.ts';
import { freePort } from './free-port.ts';

/** The instances of the Auto Scaling group: a server process each, and what EC2 knows of it. */
export interface Fleet {
  readonly instanceIds: readonly string[];
  /** Kills an instance's server without a goodbye; EC2 then has the instance in this state. */
  kill(instanceId: string, state: 'terminated' | 'stopped'): Promise<void>;
  /** Starts a stopped instance, on its old address and port, with the tags that it had. */
  restart(instanceId: string): Promise<void>;
  stop(): Promise<void>;
}

/** Starts a fleet of so many instances. */
export async function startFleet(ec2: Ec2Endpoint, size: number): Promise<Fleet> {
  const processes = new Map<string, ChildProcess>();
  const instanceIds = Array.from({ length: size }, (_, n) => `i-0a1b2c3d4e5f607${n.toString(16).padStart(2, '0')}`);

  async function start(instanceId: string, instance: Instance): Promise<void> {
    const file = fileURLToPath(new URL('server-process.ts', import.meta.url));
    const child = fork(file, [instanceId, instance.tags.get(PORT_TAG) ?? '']);
    processes.set(instanceId, child);
    const ended = once(child, 'exit').then(() =>
      Promise.reject(new Error(`the server of ${instanceId} did not start`)),
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

  const fleet: Fleet = {
    instanceIds,
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
    for (const instanceId of instanceIds) {
      const tags = new Map([
        ['aws:autoscaling:groupName', GROUP],
        [PORT_TAG, String(await freePort())],
      ]);
      ec2.instances.set(instanceId, { tags, privateIpAddress: '127.0.0.1', state: 'pending' });
    }
    await Promise.all([...ec2.instances].map(([instanceId, instance]) => start(instanceId, instance)));
  } catch (error) {
    await fleet.stop();
    throw error;
  }
  return fleet;
}
