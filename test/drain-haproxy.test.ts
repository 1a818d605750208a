import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { type Ec2Endpoint, startEc2Endpoint } from '../scripts/aws/ec2-endpoint.ts';
import type { Instance } from '../scripts/aws/ec2-instances.ts';
import type { RunningConsumer, Surroundings } from '../scripts/drain/consumer.ts';
import { own } from '../scripts/drain/consumers/own.ts';
import { freePort } from '../scripts/drain/fleet.ts';
import { configuration, type Haproxy, haproxyVersion, serverLines, startHaproxy } from '../scripts/drain/haproxy.ts';

const missing = await haproxyVersion().then(
  () => undefined,
  (error: Error) => error.message,
);
// In CI it has to be there: the tests run, and fail without it.
const skipped = missing !== undefined && !process.env.CI;
if (skipped) console.warn(`neither HAProxy nor the proof's own consumer is tested: ${missing}`);

const FIRST = { instanceId: 'i-0a1b2c3d4e5f60700', address: '127.0.0.2', port: 8080 };
const SECOND = { instanceId: 'i-0a1b2c3d4e5f60701', address: '127.0.0.3', port: 8080 };

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'drain-haproxy-'));
});
afterEach(() => rm(folder, { recursive: true }));

describe('the configuration of HAProxy', () => {
  test('has no health checks, no retries and no redispatch that could hide a mistake of the function', () => {
    expect(configuration({ port: 1080, careful: false, statsSocket: '/run/stats.sock' })).toBe(`global
    # Old workers end by then, whatever their clients do.
    hard-stop-after 10s
    stats socket /run/stats.sock mode 600 level admin expose-fd listeners

defaults
    mode http
    timeout connect 1s
    timeout client 10s
    timeout server 10s
    timeout http-keep-alive 1000ms
    # A reload closes idle client connections at once, and a request that is already on its way over one of them is
    # reset. With this option they are closed with the answer to their next request.
    option idle-close-on-response

frontend web
    bind 127.0.0.1:1080
    default_backend web

backend web
    balance roundrobin
`);
  });

  test('has all of them when it is careful', () => {
    expect(configuration({ port: 1080, careful: true, statsSocket: '/run/stats.sock' })).toBe(`global
    # Old workers end by then, whatever their clients do.
    hard-stop-after 10s
    stats socket /run/stats.sock mode 600 level admin expose-fd listeners

defaults
    mode http
    timeout connect 1s
    timeout client 10s
    timeout server 10s
    timeout http-keep-alive 1000ms
    # A reload closes idle client connections at once, and a request that is already on its way over one of them is
    # reset. With this option they are closed with the answer to their next request.
    option idle-close-on-response
    option redispatch 1
    retries 3
    retry-on all-retryable-errors
    option httpchk GET /
    default-server check inter 250ms fall 2 rise 2 observe layer4 error-limit 1 on-error mark-down

frontend web
    bind 127.0.0.1:1080
    default_backend web

backend web
    balance roundrobin
    # It may have been carried out.
    http-request disable-l7-retry if METH_POST
`);
  });

  test('names each server by its instance', () => {
    expect(serverLines([FIRST, SECOND])).toBe(
      '    server i-0a1b2c3d4e5f60700 127.0.0.2:8080\n    server i-0a1b2c3d4e5f60701 127.0.0.3:8080\n',
    );
  });
});

describe.skipIf(skipped)('a running HAProxy', () => {
  let haproxy: Haproxy;
  beforeEach(async () => {
    haproxy = await startHaproxy({ folder, port: await freePort(), careful: false }, [FIRST, SECOND]);
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
  await expect(startHaproxy({ folder, port: await freePort(), careful: false }, [odd])).rejects.toThrow(
    /^haproxy does not start; it said: .*(no|unknown)/s,
  );
});

describe.skipIf(skipped)("the proof's own consumer", () => {
  let ec2: Ec2Endpoint;
  let master: ReturnType<typeof spawn>;
  let reloads: number;
  let surroundings: Surroundings;
  let consumer: RunningConsumer | undefined;

  beforeEach(async () => {
    ec2 = await startEc2Endpoint();
    // In place of HAProxy's master, it counts the signals for a reload.
    master = spawn('sh', ['-c', 'trap "echo reload" USR2; echo ready; while :; do sleep 0.02; done'], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    reloads = 0;
    const ready = Promise.withResolvers<void>();
    if (master.stdout) {
      createInterface({ input: master.stdout }).on('line', (line) => {
        if (line === 'reload') reloads += 1;
        else ready.resolve();
      });
    }
    await ready.promise;
    surroundings = {
      folder,
      configFile: join(folder, 'haproxy.cfg'),
      pidFile: join(folder, 'haproxy.pid'),
      statsSocket: join(folder, 'stats.sock'),
      staticConfiguration: configuration({ port: 1080, careful: false, statsSocket: join(folder, 'stats.sock') }),
      serverPort: 8080,
      group: 'web',
      ec2Url: ec2.url,
      region: 'us-west-2',
      environment: {},
      onProgress: () => {},
    };
    await writeFile(surroundings.pidFile, String(master.pid));
    await writeFile(surroundings.configFile, surroundings.staticConfiguration);
    consumer = undefined;
  });
  afterEach(async () => {
    await consumer?.stop();
    const exited = once(master, 'exit');
    master.kill('SIGKILL');
    await exited;
    await ec2.close();
  });

  test('keeps the running instances of the group that do not carry the tag with its value', async () => {
    givenInstance('i-00000001', '127.0.0.2', {});
    givenInstance('i-00000002', '127.0.0.3', { remove_from_lb: 'yes' });
    givenInstance('i-00000003', '127.0.0.4', { remove_from_lb: 'no' });
    givenInstance('i-00000004', '127.0.0.5', { 'aws:autoscaling:groupName': 'another' });
    const states = ['pending', 'shutting-down', 'terminated', 'stopping', 'stopped'] as const;
    for (const [n, state] of states.entries()) givenInstance(`i-0000001${n}`, '127.0.0.9', {}, state);
    consumer = await own.start(surroundings);
    expect(await servers()).toEqual(['i-00000001 127.0.0.2:8080', 'i-00000003 127.0.0.4:8080']);
    await vi.waitFor(() => expect(reloads).toBe(1));
  });

  test('reloads HAProxy when the servers have changed, and only then', async () => {
    givenInstance('i-00000001', '127.0.0.2', {});
    givenInstance('i-00000002', '127.0.0.3', {});
    consumer = await own.start(surroundings);
    await vi.waitFor(() => expect(reloads).toBe(1));
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
    consumer = await own.start(surroundings);
    const before = await servers();
    ec2.lastingFault = { status: 403, code: 'UnauthorizedOperation' };
    await vi.waitFor(() => expect(consumer?.failures).toEqual([expect.stringContaining('Unauthorized')]), 20_000);
    givenInstance('i-00000002', 'nowhere', {});
    ec2.lastingFault = undefined;
    await vi.waitFor(() => expect(consumer?.failures.at(-1)).toContain('haproxy -c'), 20_000);
    expect(await servers()).toEqual(before);
    await sleep(100);
    expect(reloads).toBe(1);
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
