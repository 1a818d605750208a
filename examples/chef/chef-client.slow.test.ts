import { readFile, rename, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { freePort } from '../../scripts/free-port.ts';
import { type Ec2Endpoint, startEc2Endpoint } from '../../scripts/local-aws/ec2-endpoint.ts';
import type { Instance } from '../../scripts/local-aws/ec2-instances.ts';
import type { RunningConsumer } from '../../scripts/proof/consumer.ts';
import { chef } from '../../scripts/proof/consumers/chef.ts';
import { surroundingsIn } from '../../scripts/proof/fixtures.ts';
import { type LoadBalancer, startLoadBalancer } from '../../scripts/proof/load-balancer.ts';
import { temporaryFolder } from '../../scripts/temporary-folder.ts';
import { DEFAULT_TAG } from '../../src/settings.ts';
import { awsCli } from '../../test/helpers/aws-cli.ts';
import { skippedWithoutChef } from '../../test/helpers/programs.ts';
import { instance, TAGGED } from '../fixtures.ts';

const PATIENCE = { timeout: 100_000, interval: 50 };

// Chef takes seconds to start, so the tests share one client. Each test starts with the same instances in HAProxy.
describe.skipIf(await skippedWithoutChef('examples/chef'))('Chef with the cookbook', () => {
  const cleanup = new AsyncDisposableStack();
  let ec2: Ec2Endpoint;
  let haproxy: LoadBalancer;
  let client: RunningConsumer;

  beforeAll(async () => {
    const { path: folder } = cleanup.use(await temporaryFolder('chef-'));
    ec2 = await startEc2Endpoint();
    cleanup.defer(() => ec2.close());
    haproxy = await startLoadBalancer({ folder, port: await freePort(), mode: 'plain', environment: process.env }, [
      { instanceId: 'i-00000001', address: '127.0.0.1', port: 8080 },
    ]);
    cleanup.defer(() => haproxy.stop());
    resetInstances();
    const environment = awsCli(ec2.url) as Record<string, string>;
    client = await chef.start({ ...surroundingsIn(folder, { environment, ec2Url: ec2.url }), ...haproxy });
    cleanup.defer(() => client.stop());
  });
  afterAll(() => cleanup.disposeAsync());

  beforeEach(async () => {
    ec2.lastingFault = undefined;
    resetInstances();
    await waitUntilInPlace(['i-00000001', 'i-00000003']);
  });

  test('puts the running instances of the group without the tag into HAProxy', async () => {
    expect(await servers()).toEqual(['i-00000001 127.0.0.1:8080', 'i-00000003 127.0.0.1:8080']);
    expect(await readFile(haproxy.configFile, 'utf8')).toContain(haproxy.staticConfiguration);
  });

  test('does not reload when nothing has changed', async () => {
    const before = await state();
    const [calls, failures] = [ec2.calls.length, client.failures.length];
    // Each run calls EC2 once, after the end of the last run. So the second new call shows that a whole run has ended.
    await vi.waitFor(() => expect(ec2.calls.length).toBeGreaterThanOrEqual(calls + 2), PATIENCE);
    expect(await state()).toEqual(before);
    expect(client.failures.slice(failures)).toEqual([]);
  });

  test('fails and changes nothing when EC2 answers with an error', async () => {
    const before = await state();
    ec2.lastingFault = { status: 403, code: 'UnauthorizedOperation' };
    await nextFailure(/UnauthorizedOperation/);
    expect(await state()).toEqual(before);
  });

  test('ends a call that EC2 does not answer within 20 seconds', async () => {
    ec2.lastingFault = 'hang';
    const calls = ec2.calls.length;
    await nextFailure(/EC2 did not answer within 20 s/);
    // The last call may be the next run's.
    const attempts = ec2.calls.slice(calls, -1).map(({ at }) => at);
    expect(attempts.length).toBeGreaterThan(1);
    expect((attempts.at(-1) ?? 0) - (attempts[0] ?? 0)).toBeLessThan(20_000);
  });

  test('waits and asks again when EC2 throttles', async () => {
    const [calls, failures] = [ec2.calls.length, client.failures.length];
    ec2.faults.push(...Array.from({ length: 3 }, () => ({ status: 503, code: 'RequestLimitExceeded' })));
    await vi.waitFor(() => expect(ec2.calls.slice(calls).map(({ outcome }) => outcome)).toContain(200), PATIENCE);
    expect(client.failures.slice(failures)).toEqual([]);
  });

  test('fails and changes nothing when haproxy -c refuses the configuration', async () => {
    const before = await state();
    given('i-00000007', {}, { privateIpAddress: '127.0.0.1 nonsense' });
    await nextFailure(/failed verification/);
    expect(await state()).toEqual(before);
  });

  test('repeats a reload that failed', async () => {
    const { worker } = await state();
    await rename(haproxy.pidFile, `${haproxy.pidFile}.away`);
    try {
      ec2.instances.get('i-00000003')?.tags.set(DEFAULT_TAG.key, DEFAULT_TAG.value);
      await nextFailure(/service\[haproxy\].*ShellCommandFailed/);
      expect(await state()).toEqual({ servers: ['i-00000001 127.0.0.1:8080'], worker });
    } finally {
      await rename(`${haproxy.pidFile}.away`, haproxy.pidFile);
    }
    await waitUntilInPlace(['i-00000001']);
  });

  test('notices a reload that reports success and changes nothing, and repeats the reload', async () => {
    const { worker } = await state();
    const master = await readFile(haproxy.pidFile, 'utf8');
    // The signal for the reload goes to this process.
    const ignoreReload = () => {};
    process.on('SIGUSR2', ignoreReload);
    await writeFile(haproxy.pidFile, String(process.pid));
    try {
      ec2.instances.get('i-00000003')?.tags.set(DEFAULT_TAG.key, DEFAULT_TAG.value);
      await nextFailure(/HAProxy does not run the new configuration 20 s after the reload: its worker is older/);
      expect(await state()).toEqual({ servers: ['i-00000001 127.0.0.1:8080'], worker });
      expect(await haproxy.serversInPlace()).toContain('i-00000003');
    } finally {
      await writeFile(haproxy.pidFile, master);
      process.off('SIGUSR2', ignoreReload);
    }
    await waitUntilInPlace(['i-00000001']);
  });

  test('takes back an instance without the tag, and reads every page of a large group', async () => {
    ec2.instances.get('i-00000002')?.tags.delete(DEFAULT_TAG.key);
    const ids = Array.from({ length: 1000 }, (_, n) => `i-1000${n.toString(16).padStart(4, '0')}`);
    for (const id of ids) given(id);
    await waitUntilInPlace(['i-00000001', 'i-00000002', 'i-00000003', ...ids]);
  });

  function resetInstances(): void {
    ec2.instances.clear();
    given('i-00000001');
    given('i-00000002', TAGGED);
    given('i-00000003', { [DEFAULT_TAG.key]: 'no' });
    given('i-00000004', {}, { state: 'stopped' });
    given('i-00000005', {}, { state: 'pending' });
    given('i-00000006', { 'aws:autoscaling:groupName': 'another' });
  }

  function given(id: string, tags: object = {}, more: Partial<Instance> = {}): void {
    ec2.instances.set(id, instance(tags, { privateIpAddress: '127.0.0.1', ...more }));
  }

  /** Waits until these instances are in HAProxy's configuration and get requests. */
  async function waitUntilInPlace(ids: string[]): Promise<void> {
    await vi.waitFor(async () => {
      expect((await servers()).map((server) => server.split(' ')[0])).toEqual(ids);
      const names = (await haproxy.serversInPlace()) ?? new Set();
      expect([...names].filter((name) => name.startsWith('i-')).sort()).toEqual(ids);
    }, PATIENCE);
  }

  /** Waits for the next run that fails for this reason. */
  async function nextFailure(reason: RegExp): Promise<void> {
    const before = client.failures.length;
    await vi.waitFor(
      () => expect(client.failures.slice(before)).toContainEqual(expect.stringMatching(reason)),
      PATIENCE,
    );
  }

  /** The server lines of HAProxy's configuration, and the process that serves. */
  async function state() {
    const info = await text(connect(haproxy.statsSocket).end('show info\n'));
    return { servers: await servers(), worker: /^Pid: (\d+)$/m.exec(info)?.[1] };
  }

  async function servers(): Promise<string[]> {
    const configuration = await readFile(haproxy.configFile, 'utf8');
    return [...configuration.matchAll(/^ +server (.+)$/gm)].map(([, server = '']) => server);
  }
});
