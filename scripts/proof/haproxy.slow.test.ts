import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { skippedWithout } from '../../test/helpers/programs.ts';
import { type Ec2Endpoint, startEc2Endpoint } from '../local-aws/ec2-endpoint.ts';
import type { Instance } from '../local-aws/ec2-instances.ts';
import type { RunningConsumer, Surroundings } from './consumer.ts';
import { own } from './consumers/own.ts';
import { freePort } from './fleet.ts';
import { type Haproxy, serverLines, startHaproxy } from './haproxy.ts';
import { surroundingsIn } from './test-surroundings.ts';

const skipped = skippedWithout({ haproxy: '-v' }, "HAProxy in the proof, with the proof's own consumer,");
const environment = process.env;

const FIRST = { instanceId: 'i-0a1b2c3d4e5f60700', address: '127.0.0.2', port: 8080 };
const SECOND = { instanceId: 'i-0a1b2c3d4e5f60701', address: '127.0.0.3', port: 8080 };

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'drain "haproxy" \\ '));
});
afterEach(() => rm(folder, { recursive: true }));

describe.skipIf(skipped)('a running HAProxy', () => {
  let haproxy: Haproxy;
  beforeEach(async () => {
    haproxy = await startHaproxy({ folder, port: await freePort(), careful: false, environment }, [FIRST, SECOND]);
  });
  afterEach(() => haproxy.stop());

  test.for(['drain', 'maint'])(
    'has let go of a server in state %s, and takes it back when it is ready',
    async (state) => {
      expect(names(await haproxy.serversInPlace())).toEqual([FIRST.instanceId, SECOND.instanceId]);
      await runtimeApi(`set server web/${FIRST.instanceId} state ${state}`);
      expect(names(await haproxy.serversInPlace())).toEqual([SECOND.instanceId]);
      await runtimeApi(`set server web/${FIRST.instanceId} state ready`);
      expect(names(await haproxy.serversInPlace())).toEqual([FIRST.instanceId, SECOND.instanceId]);
    },
  );

  test('has let go of a server that is not in the configuration after a reload', async () => {
    await writeFile(haproxy.configFile, haproxy.staticConfiguration + serverLines([FIRST]));
    process.kill(Number(await readFile(haproxy.pidFile, 'utf8')), 'SIGUSR2');
    await vi.waitFor(async () => expect(names(await haproxy.serversInPlace())).toEqual([FIRST.instanceId]), 10_000);
  });

  function names(servers: ReadonlySet<string> | undefined): string[] {
    return [...(servers ?? [])].filter((name) => name.startsWith('i-'));
  }

  function runtimeApi(command: string): Promise<string> {
    return text(connect(haproxy.statsSocket).end(`${command}\n`));
  }
});

test.skipIf(skipped)('a configuration that HAProxy refuses fails its start, with its words', async () => {
  const odd = { ...FIRST, address: 'no address' };
  await expect(startHaproxy({ folder, port: await freePort(), careful: false, environment }, [odd])).rejects.toThrow(
    /^haproxy does not start; it said: .*(no|unknown)/s,
  );
});

describe.skipIf(skipped)("the proof's own consumer", () => {
  const INTERVAL_MS = 50;
  let ec2: Ec2Endpoint;
  let reloads: number;
  let surroundings: Surroundings;
  let consumer: RunningConsumer | undefined;

  beforeEach(async () => {
    ec2 = await startEc2Endpoint();
    surroundings = surroundingsIn(folder, { ec2Url: ec2.url });
    // This process is HAProxy's master, and counts the signals for a reload.
    await writeFile(surroundings.pidFile, String(process.pid));
    await writeFile(surroundings.configFile, surroundings.staticConfiguration);
    reloads = 0;
    process.on('SIGUSR2', countReload);
    consumer = undefined;
  });
  afterEach(async () => {
    await consumer?.stop();
    process.off('SIGUSR2', countReload);
    await ec2.close();
  });

  function countReload(): void {
    reloads += 1;
  }

  test('keeps the running instances of the group that do not carry the tag with its value', async () => {
    givenInstance('i-00000001', '127.0.0.2', {});
    givenInstance('i-00000002', '127.0.0.3', { remove_from_lb: 'yes' });
    givenInstance('i-00000003', '127.0.0.4', { remove_from_lb: 'no' });
    givenInstance('i-00000004', '127.0.0.5', { 'aws:autoscaling:groupName': 'another' });
    const states = ['pending', 'shutting-down', 'terminated', 'stopping', 'stopped'] as const;
    for (const [n, state] of states.entries()) givenInstance(`i-0000001${n}`, '127.0.0.9', {}, state);
    consumer = await own.start(surroundings, INTERVAL_MS);
    expect(await servers()).toEqual(['i-00000001 127.0.0.2:8080', 'i-00000003 127.0.0.4:8080']);
    await vi.waitFor(() => expect(reloads).toBe(1), 20_000);
  });

  test('reloads HAProxy when the servers have changed, and only then', async () => {
    givenInstance('i-00000001', '127.0.0.2', {});
    givenInstance('i-00000002', '127.0.0.3', {});
    consumer = await own.start(surroundings, INTERVAL_MS);
    await vi.waitFor(() => expect(reloads).toBe(1), 20_000);
    const { mtimeMs } = await stat(surroundings.configFile);
    const asked = ec2.calls.length;
    await vi.waitFor(() => expect(ec2.calls.length).toBeGreaterThan(asked + 1), 20_000);
    expect(reloads).toBe(1);
    expect((await stat(surroundings.configFile)).mtimeMs).toBe(mtimeMs);
    ec2.instances.get('i-00000002')?.tags.set('remove_from_lb', 'yes');
    await vi.waitFor(() => expect(reloads).toBe(2), 20_000);
    expect(await servers()).toEqual(['i-00000001 127.0.0.2:8080']);
    expect(consumer.failures).toEqual([]);
  });

  test('leaves HAProxy as it is, and says why, when EC2 fails or HAProxy refuses the configuration', async () => {
    givenInstance('i-00000001', '127.0.0.2', {});
    consumer = await own.start(surroundings, INTERVAL_MS);
    const before = await servers();
    ec2.lastingFault = { status: 403, code: 'UnauthorizedOperation' };
    await vi.waitFor(() => expect(consumer?.failures.at(-1)).toContain('Unauthorized'), 20_000);
    givenInstance('i-00000002', 'nowhere', {});
    ec2.lastingFault = undefined;
    await vi.waitFor(() => expect(consumer?.failures.at(-1)).toContain('haproxy -c'), 20_000);
    expect(await servers()).toEqual(before);
    expect(reloads).toBe(1);
    // A reload in between would be counted by now.
    givenInstance('i-00000002', '127.0.0.3', {});
    await vi.waitFor(() => expect(reloads).toBeGreaterThan(1), 20_000);
    expect(reloads).toBe(2);
    expect(await servers()).toHaveLength(2);
  });

  function givenInstance(
    id: string,
    privateIpAddress: string,
    tags: Record<string, string>,
    state: NonNullable<Instance['state']> = 'running',
  ) {
    const all = { 'aws:autoscaling:groupName': 'web', ...tags };
    ec2.instances.set(id, { tags: new Map(Object.entries(all)), privateIpAddress, state });
  }

  async function servers(): Promise<string[]> {
    const written = await readFile(surroundings.configFile, 'utf8');
    return [...written.matchAll(/^ {4}server (.*)$/gm)].map(([, server = '']) => server);
  }
});
