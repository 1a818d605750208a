import { mkdtemp, readFile, rename, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Ec2Endpoint, startEc2Endpoint } from '../scripts/aws/ec2-endpoint.ts';
import type { Instance } from '../scripts/aws/ec2-instances.ts';
import type { RunningConsumer } from '../scripts/drain/consumer.ts';
import { chef } from '../scripts/drain/consumers/chef.ts';
import { freePort } from '../scripts/drain/fleet.ts';
import { type Haproxy, startHaproxy } from '../scripts/drain/haproxy.ts';

const missing: unknown = await chef.requirement(process.env).catch((error: unknown) => error);
// Whoever has accepted Chef's licence in CI has installed Chef: the tests run, and fail without it.
const skipped = missing instanceof Error && !(process.env.CI && process.env.CHEF_LICENSE);
if (skipped) console.warn(`examples/chef is not tested with Chef. ${missing.message}`);

// Chef Infra Client with the cookbook beside a real HAProxy, in one long life: each test waits for its next runs.
describe.skipIf(skipped)('Chef with the cookbook', { timeout: 120_000 }, () => {
  let folder: string;
  let ec2: Ec2Endpoint;
  let haproxy: Haproxy;
  let client: RunningConsumer;
  const environment: Record<string, string> = {};

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'chef-'));
    ec2 = await startEc2Endpoint();
    givenInstance('i-00000001');
    givenInstance('i-00000002', { tags: { remove_from_lb: 'yes' } });
    givenInstance('i-00000003', { tags: { remove_from_lb: 'no' } });
    givenInstance('i-00000004', { state: 'stopped' });
    givenInstance('i-00000005', { state: 'pending' });
    givenInstance('i-00000006', { tags: { 'aws:autoscaling:groupName': 'another' } });
    haproxy = await startHaproxy({ folder, port: await freePort(), careful: false, environment: process.env }, [
      { instanceId: 'i-00000001', address: '127.0.0.1', port: 8080 },
    ]);
    Object.assign(environment, process.env, {
      AWS_ENDPOINT_URL: ec2.url,
      AWS_REGION: 'us-west-2',
      AWS_ACCESS_KEY_ID: 'local',
      AWS_SECRET_ACCESS_KEY: 'local',
    });
    client = await chef.start({
      ...haproxy,
      serverPort: 8080,
      group: 'web',
      ec2Url: ec2.url,
      region: 'us-west-2',
      environment,
      signal: new AbortController().signal,
      onProgress: () => {},
    });
  }, 120_000);

  afterAll(async () => {
    await client?.stop();
    await haproxy?.stop();
    await ec2?.close();
    await rm(folder, { recursive: true });
  });

  test('puts the running and untagged instances of the group into HAProxy at its first run', async () => {
    await expect.poll(inPlace).toEqual(['i-00000001', 'i-00000003']);
    expect(await servers()).toEqual(['i-00000001 127.0.0.1:8080', 'i-00000003 127.0.0.1:8080']);
    expect(await readFile(haproxy.configFile, 'utf8')).toContain(haproxy.staticConfiguration);
  });

  test('does not reload when nothing has changed', async () => {
    const before = await state();
    await nextRuns(2);
    expect(await state()).toEqual(before);
    expect(client.failures).toEqual([]);
  });

  test.each<{ what: string; begin: () => void; end: () => void; reason: RegExp }>([
    {
      what: 'EC2 answers with an error',
      begin: () => {
        ec2.lastingFault = { status: 403, code: 'UnauthorizedOperation' };
      },
      end: () => {
        ec2.lastingFault = undefined;
      },
      reason: /UnauthorizedOperation/,
    },
    {
      what: 'no server would be left',
      begin: () => ec2.instances.forEach(({ tags }) => void tags.set('remove_from_lb', 'yes')),
      end: () => {
        for (const id of ['i-00000001', 'i-00000003']) ec2.instances.get(id)?.tags.delete('remove_from_lb');
      },
      reason: /no server to keep in aws:autoscaling:groupName=web, of 3 running; HAProxy is left as it is/,
    },
    {
      what: 'haproxy -c refuses the configuration',
      begin: () => givenInstance('i-00000007', { privateIpAddress: '127.0.0.1 nonsense' }),
      end: () => void ec2.instances.delete('i-00000007'),
      reason: /failed verification haproxy -c/,
    },
  ])('leaves HAProxy as it is and fails when $what', async ({ begin, end, reason }) => {
    const before = await state();
    const failures = client.failures.length;
    try {
      begin();
      await nextFailure();
      expect(await state()).toEqual(before);
      expect(client.failures[failures]).toMatch(reason);
    } finally {
      end();
    }
  });

  test('repeats a reload that failed, though the configuration is written', async () => {
    const { worker } = await state();
    await rename(haproxy.pidFile, `${haproxy.pidFile}.away`);
    ec2.instances.get('i-00000003')?.tags.set('remove_from_lb', 'yes');
    await nextFailure();
    expect(await servers()).toEqual(['i-00000001 127.0.0.1:8080']);
    expect((await state()).worker).toBe(worker);
    await rename(`${haproxy.pidFile}.away`, haproxy.pidFile);
    await expect.poll(inPlace, { timeout: 60_000 }).toEqual(['i-00000001']);
  });

  test('reads every page of a fleet of more than a thousand, and takes back an instance whose tag is gone', async () => {
    ec2.instances.get('i-00000003')?.tags.delete('remove_from_lb');
    const ids = Array.from({ length: 1000 }, (_, n) => `i-1000${n.toString(16).padStart(4, '0')}`);
    for (const id of ids) givenInstance(id);
    await expect.poll(inPlace, { timeout: 60_000 }).toEqual(['i-00000001', 'i-00000003', ...ids]);
  });

  function givenInstance(id: string, { tags = {}, ...rest }: Partial<Omit<Instance, 'tags'>> & { tags?: object } = {}) {
    const all = Object.entries({ 'aws:autoscaling:groupName': 'web', ...tags });
    ec2.instances.set(id, { tags: new Map(all), privateIpAddress: '127.0.0.1', ...rest });
  }

  /** The instances that HAProxy sends requests to. */
  async function inPlace(): Promise<string[]> {
    return [...((await haproxy.serversInPlace()) ?? [])].filter((name) => name.startsWith('i-')).sort();
  }

  /** The lines of HAProxy's configuration, and the process that serves. */
  async function state() {
    const info = await text(connect(haproxy.statsSocket).end('show info\n'));
    return { servers: await servers(), worker: /^Pid: (\d+)$/m.exec(info)?.[1] };
  }

  async function servers(): Promise<string[]> {
    const configuration = await readFile(haproxy.configFile, 'utf8');
    return [...configuration.matchAll(/^ +server (.+)$/gm)].map(([, server = '']) => server);
  }

  /** Waits until Chef has asked EC2 so many times more. */
  async function nextRuns(count: number): Promise<void> {
    for (const wanted = ec2.calls.length + count; ec2.calls.length < wanted; ) await sleep(50);
  }

  async function nextFailure(): Promise<void> {
    for (const wanted = client.failures.length + 1; client.failures.length < wanted; ) await sleep(50);
  }
});
