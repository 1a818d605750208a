import { readFile, rename } from 'node:fs/promises';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { freePort } from '../../scripts/free-port.ts';
import { type Ec2Endpoint, startEc2Endpoint } from '../../scripts/local-aws/ec2-endpoint.ts';
import type { Instance } from '../../scripts/local-aws/ec2-instances.ts';
import type { RunningConsumer } from '../../scripts/proof/consumer.ts';
import { chef } from '../../scripts/proof/consumers/chef.ts';
import { type LoadBalancer, startLoadBalancer } from '../../scripts/proof/load-balancer.ts';
import { temporaryFolder } from '../../scripts/temporary-folder.ts';
import { skippedWithoutChef } from '../../test/helpers/programs.ts';

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
    const environment: Record<string, string> = {};
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
    cleanup.defer(() => client.stop());
  });
  afterAll(() => cleanup.disposeAsync());

  beforeEach(async () => {
    ec2.lastingFault = undefined;
    resetInstances();
    await waitUntilInPlace(['i-00000001', 'i-00000003']);
  });

  test('puts the running and untagged instances of the group into HAProxy', async () => {
    expect(await servers()).toEqual(['i-00000001 127.0.0.1:8080', 'i-00000003 127.0.0.1:8080']);
    expect(await readFile(haproxy.configFile, 'utf8')).toContain(haproxy.staticConfiguration);
  });

  test('does not reload when nothing has changed', async () => {
    const before = await state();
    const [calls, failures] = [ec2.calls.length, client.failures.length];
    // Each run asks EC2 once, and starts when the run before has ended. So the run of the first new call has ended when
    // the second new call comes.
    await vi.waitFor(() => expect(ec2.calls.length).toBeGreaterThanOrEqual(calls + 2), PATIENCE);
    expect(await state()).toEqual(before);
    expect(client.failures.slice(failures)).toEqual([]);
  });

  test.each<{ what: string; begin: () => void; reason: RegExp }>([
    {
      what: 'EC2 answers with an error',
      begin: () => {
        ec2.lastingFault = { status: 403, code: 'UnauthorizedOperation' };
      },
      reason: /UnauthorizedOperation/,
    },
    {
      what: 'no server would be left',
      begin: () => ec2.instances.forEach(({ tags }) => void tags.set('remove_from_lb', 'yes')),
      reason: /no server to keep in aws:autoscaling:groupName=web, of 3 running; HAProxy is left as it is/,
    },
    {
      what: 'haproxy -c refuses the configuration',
      begin: () => givenInstance('i-00000007', { privateIpAddress: '127.0.0.1 nonsense' }),
      reason: /failed verification haproxy -c/,
    },
  ])('leaves HAProxy as it is and fails when $what', async ({ begin, reason }) => {
    const before = await state();
    begin();
    await nextFailure(reason);
    expect(await state()).toEqual(before);
  });

  test('repeats a reload that failed, though the configuration is written', async () => {
    const { worker } = await state();
    await rename(haproxy.pidFile, `${haproxy.pidFile}.away`);
    try {
      ec2.instances.get('i-00000003')?.tags.set('remove_from_lb', 'yes');
      await nextFailure(/service\[haproxy\].*ShellCommandFailed/);
      expect(await state()).toEqual({ servers: ['i-00000001 127.0.0.1:8080'], worker });
    } finally {
      await rename(`${haproxy.pidFile}.away`, haproxy.pidFile);
    }
    await waitUntilInPlace(['i-00000001']);
  });

  test('reads every page of a fleet of more than a thousand, and takes back an instance whose tag is gone', async () => {
    ec2.instances.get('i-00000002')?.tags.delete('remove_from_lb');
    const ids = Array.from({ length: 1000 }, (_, n) => `i-1000${n.toString(16).padStart(4, '0')}`);
    for (const id of ids) givenInstance(id);
    await waitUntilInPlace(['i-00000001', 'i-00000002', 'i-00000003', ...ids]);
  });

  function resetInstances(): void {
    ec2.instances.clear();
    givenInstance('i-00000001');
    givenInstance('i-00000002', { tags: { remove_from_lb: 'yes' } });
    givenInstance('i-00000003', { tags: { remove_from_lb: 'no' } });
    givenInstance('i-00000004', { state: 'stopped' });
    givenInstance('i-00000005', { state: 'pending' });
    givenInstance('i-00000006', { tags: { 'aws:autoscaling:groupName': 'another' } });
  }

  function givenInstance(id: string, { tags = {}, ...rest }: Partial<Omit<Instance, 'tags'>> & { tags?: object } = {}) {
    const all = Object.entries({ 'aws:autoscaling:groupName': 'web', ...tags });
    ec2.instances.set(id, { tags: new Map(all), privateIpAddress: '127.0.0.1', ...rest });
  }

  /** Waits until HAProxy's configuration has these instances, and HAProxy sends requests to them. */
  async function waitUntilInPlace(ids: string[]): Promise<void> {
    await vi.waitFor(async () => {
      expect((await servers()).map((server) => server.split(' ')[0])).toEqual(ids);
      const names = (await haproxy.serversInPlace()) ?? new Set();
      expect([...names].filter((name) => name.startsWith('i-')).sort()).toEqual(ids);
    }, PATIENCE);
  }

  /** Waits until a run from now on fails for this reason. */
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
