import { execFile } from 'node:child_process';
import { beforeEach, expect, test, vi } from 'vitest';
import { useFakeTime } from '../../test/helpers/fake-time.ts';
import { startLambda } from '../local-aws/lambda.ts';
import { consumerThatRan } from './commands.ts';
import type { Consumer, RunningConsumer, Surroundings } from './consumer.ts';
import { consumer, ID, OTHER, surroundingsIn } from './fixtures.ts';
import { startLoad } from './load.ts';
import { startLoadBalancer } from './load-balancer.ts';
import { planFor } from './plan.ts';
import { setStage } from './stage.ts';

vi.mock('node:timers/promises', () => import('./fake-sleep.ts'));
vi.mock('../free-port.ts', () => ({ freePort: async () => 12_000 + ports++ }));
vi.mock('../local-aws/ec2-endpoint.ts', () => ({ startEc2Endpoint: async () => ({ url: 'http://ec2', close }) }));
vi.mock('../local-aws/lambda.ts', () => ({ startLambda: vi.fn(async () => ({ stop: end('function') })) }));
vi.mock('./load.ts', () => ({ startLoad: vi.fn(async () => ({ stop: end('load') })) }));
vi.mock('./looks.ts', () => ({
  recordLooks: async (socket: string, path: string) => ({ path, looks: [socket], stop: end('looks') }),
}));
vi.mock('./fleet.ts', () => ({ GROUP: 'web', startFleet: async () => ({ port: 8080, servers: FLEET }) }));
vi.mock('./load-balancer.ts', async (original) => ({
  ...(await original<typeof import('./load-balancer.ts')>()),
  startLoadBalancer: vi.fn(async ({ folder, port }: { folder: string; port: number }) => {
    const { staticConfiguration, statsSocket } = surroundingsIn(folder);
    return { folder, port, statsSocket, staticConfiguration, stop: end('haproxy') };
  }),
}));

const FLEET = [ID, OTHER].map((instanceId) => ({ instanceId, address: '127.0.0.2', port: 8080 }));
const ZIP = new Uint8Array([1]);
let ports = 0;
let ended: string[];
const end = (what: string) => async () => void ended.push(what);
const close = () => end('ec2')();

/** The surroundings that consumers were started with, and the times of the starts. */
let starts: (Surroundings & { readonly at: number })[];
let startConsumer: (surroundings: Surroundings) => Promise<RunningConsumer>;
const theConsumer: Consumer = { ...consumer, start: (surroundings) => startConsumer(surroundings) };

beforeEach(() => {
  useFakeTime(0);
  ports = 0;
  ended = [];
  starts = [];
  startConsumer = async (surroundings) => {
    starts.push({ ...surroundings, at: Date.now() });
    return { failures: [], stop: end('consumer') };
  };
});

async function set(haproxies: number, how: { mode?: 'plain' | 'careful'; completes?: boolean } = {}) {
  const started = new AsyncDisposableStack();
  const environment = { PATH: '/bin', AWS_PROFILE: 'production', AWS_ACCESS_KEY_ID: 'AKIA' };
  const plan = planFor(theConsumer, { short: true });
  const progress: string[] = [];
  const options = { plan, haproxies, consumer: theConsumer, zip: ZIP, folder: '/run/proof', environment };
  const { signal } = new AbortController();
  const onProgress = (line: string) => void progress.push(line.trim());
  const { mode = 'plain', completes = false } = how;
  const setting = setStage({ mode, completes }, { ...options, signal, onProgress }, started);
  // The rejection is handled below.
  setting.catch(() => {});
  await vi.advanceTimersByTimeAsync(10_000);
  return { setting, started, progress, plan };
}

test('each HAProxy has its own consumer, which starts at its own point in the interval, and gets its share of the load', async () => {
  const { setting, plan } = await set(2, { mode: 'careful' });
  const stage = await setting;
  expect(stage.consumers).toHaveLength(2);
  expect(stage.looks).toEqual([]);
  expect(
    starts.map(({ at, folder, statsSocket, statsSockets }) => ({ at, folder, statsSocket, statsSockets })),
  ).toEqual([
    {
      at: 0,
      folder: '/run/proof/haproxy-1',
      statsSocket: '/run/proof/haproxy-1/stats.sock',
      statsSockets: ['/run/proof/haproxy-1/stats.sock'],
    },
    {
      at: theConsumer.intervalMs / 2,
      folder: '/run/proof/haproxy-2',
      statsSocket: '/run/proof/haproxy-2/stats.sock',
      statsSockets: ['/run/proof/haproxy-2/stats.sock'],
    },
  ]);
  for (const { completeHook, group, serverPort, ec2Url } of starts) {
    expect({ completeHook, group, serverPort, ec2Url }).toEqual({
      completeHook: undefined,
      group: 'web',
      serverPort: 8080,
      ec2Url: 'http://ec2',
    });
  }
  expect(vi.mocked(startLoad).mock.calls).toEqual([[{ plan, ports: [12_000, 12_001] }]]);
  expect(vi.mocked(startLoadBalancer).mock.calls.map(([{ mode }, servers]) => ({ mode, servers }))).toEqual([
    { mode: 'careful', servers: FLEET },
    { mode: 'careful', servers: FLEET },
  ]);
  expect(vi.mocked(startLambda).mock.calls).toMatchObject([
    [ZIP, { environment: { AWS_ENDPOINT_URL: 'http://ec2' }, region: 'us-west-2' }],
  ]);
});

test('a consumer that ends the wait serves all HAProxies alone, and its looks are recorded', async () => {
  const stage = await (await set(2, { completes: true })).setting;
  expect(stage.consumers).toHaveLength(1);
  const statsSockets = ['/run/proof/haproxy-1/looks.sock', '/run/proof/haproxy-2/looks.sock'];
  expect(starts).toMatchObject([{ folder: '/run/proof/haproxy-1', statsSockets, completeHook: 'drain' }]);
  expect(stage.looks).toEqual([['/run/proof/haproxy-1/stats.sock'], ['/run/proof/haproxy-2/stats.sock']]);
  expect(vi.mocked(startLoad).mock.lastCall?.[0].ports).toEqual([12_000, 12_001]);
});

test("the consumer gets the local endpoint instead of the user's AWS settings", async () => {
  await set(1);
  expect(starts[0]?.environment).toEqual({
    PATH: '/bin',
    AWS_ENDPOINT_URL: 'http://ec2',
    AWS_REGION: 'us-west-2',
    AWS_DEFAULT_REGION: 'us-west-2',
    AWS_ACCESS_KEY_ID: 'local',
    AWS_SECRET_ACCESS_KEY: 'local',
    AWS_CONFIG_FILE: '/dev/null',
    AWS_SHARED_CREDENTIALS_FILE: '/dev/null',
    AWS_EC2_METADATA_DISABLED: 'true',
  });
});

test('the commands that a consumer starts are known, also the later ones', async () => {
  let startLater = () => {};
  startConsumer = async () => {
    execFile('true', ['1']);
    // The consumer's own work goes on after its start.
    const later = new Promise<void>((resolve) => {
      startLater = resolve;
    });
    void later.then(() => execFile('true', ['2']));
    return { failures: [], stop: async () => {} };
  };
  const { setting, progress } = await set(1);
  const { commands } = await setting;
  execFile('true', ['by the proof']);
  expect([...commands]).toEqual(['true 1']);
  expect(progress).toEqual(['consumer: true 1']);
  startLater();
  await vi.waitFor(() => expect([...commands]).toEqual(['true 1', 'true 2']));
});

test.for([
  ['slow', ['examples/slow/run.sh web'], 'slow'],
  ['slow', ['aws', 'examples/slow/run.sh web'], 'slow'],
  ['slow', [], 'own'],
  ['slow', ['other.sh web', 'aws'], 'other.sh web; aws'],
  ['own', [], 'own'],
  ['own', ['own.sh'], 'own.sh'],
] as const)(
  'if the consumer %s is asked for and the commands are %j, the consumer %s ran',
  ([asked, commands, ran]) => {
    expect(consumerThatRan(asked, commands)).toBe(ran);
  },
);

test('everything that was started ends, in reverse order, also if a consumer does not start', async () => {
  startConsumer = async (surroundings) => {
    if (surroundings.folder.endsWith('1')) throw new Error('no permission');
    return { failures: [], stop: end('consumer') };
  };
  const { setting, started } = await set(2);
  await expect(setting).rejects.toThrow('no permission');
  await started.disposeAsync();
  expect(ended).toEqual(['consumer', 'function', 'haproxy', 'haproxy', 'ec2']);
  ended = [];
  startConsumer = async () => ({ failures: [], stop: end('consumer') });
  const stage = await set(1, { completes: true });
  await stage.setting;
  await stage.started.disposeAsync();
  expect(ended).toEqual(['load', 'consumer', 'looks', 'function', 'haproxy', 'ec2']);
});
