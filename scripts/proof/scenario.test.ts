import { beforeEach, describe, expect, test, vi } from 'vitest';
import { DEFAULT_TAG } from '../../src/settings.ts';
import { useFakeTime } from '../../test/helpers/fake-time.ts';
import type { Ec2Endpoint } from '../local-aws/ec2-endpoint.ts';
import { consumer, ID, OTHER, servers } from './fixtures.ts';
import type { Guest } from './guest.ts';
import type { Servers } from './load-balancer.ts';
import type { Look } from './looks.ts';
import type { Plan } from './plan.ts';
import type { Result } from './requests.ts';
import { noteServersOut, runScenario, type ScaleIn, type ScenarioName } from './scenario.ts';

vi.mock('node:timers/promises', () => import('./fake-sleep.ts'));

const STAYING = 'i-0a1b2c3d4e5f60702';
const RESULT: Result = { at: 1, ms: 1, server: OTHER };
const PLAN: Plan = {
  requestsPerSecond: 1,
  servers: 3,
  heartbeatMs: 1000,
  scaleInsAt: [100, 200],
  returnAt: 2000,
  loadMs: 4000,
};

/** What happens in a scenario, each with its time in milliseconds. */
let events: [at: number, event: string][];
/** The options of each stage. */
let staged: unknown[];
let started: number;
const now = () => Date.now() - started;
const note = (event: string) => void events.push([now(), event]);

/** Notes each deleted key. */
class NotingMap<V> extends Map<string, V> {
  readonly #what: string;
  constructor(what: string, entries: readonly (readonly [string, V])[]) {
    super();
    this.#what = what;
    for (const [key, value] of entries) this.set(key, value);
  }
  override delete(key: string): boolean {
    note(`${this.#what} loses ${key}`);
    return super.delete(key);
  }
}

let instances: Ec2Endpoint['instances'];
/** The servers of each HAProxy at the present time. */
let haproxies: (() => Servers | undefined)[];
let looks: Look[][];
let consumerFailures: string[][];
let functionErrors: string[];
/** The instances' states in Auto Scaling when they were killed. */
let stateAtKill: (string | undefined)[];
/** Whether the function sets and deletes tags. */
let isFunctionBroken: boolean;
/** The port and the instance of a client that stays. */
let guestOf: [port: number, instanceId: string] | undefined;

vi.mock('./stage.ts', () => ({
  setStage: async (...[options, , stack]: [object, object, AsyncDisposableStack]) => {
    staged.push(options);
    stack.defer(() => note('everything ends'));
    const ids = [ID, OTHER, STAYING];
    return {
      ec2: { instances },
      fleet: {
        servers: ids.map((instanceId) => ({ instanceId })),
        kill: async (id: string, state: string) => {
          note(`kill ${id}, ${state}`);
          stateAtKill.push(instances.get(id)?.lifecycleState);
        },
        restart: async (id: string) => note(`restart ${id}`),
      },
      loadBalancers: haproxies.map((look, n) => ({ servers: async () => look(), port: 1000 + n })),
      consumers: consumerFailures.map((failures) => ({ failures })),
      commands: new Set(['examples/slow web']),
      looks,
      publisher: { errors: functionErrors, publish },
      load: {
        startedAt: started,
        results: new Promise((resolve) => setTimeout(() => resolve([RESULT]), PLAN.loadMs)),
        stop: async () => note('load stops'),
      },
    };
  },
}));

vi.mock('./guest.ts', () => ({
  connectGuest: async (port: number, instanceId: string): Promise<Guest> => {
    guestOf = [port, instanceId];
    return {
      isConnected: () => true,
      leave() {
        note('guest leaves');
        return true;
      },
    };
  },
}));

async function publish(sample: string, id: string): Promise<void> {
  note(`${sample} ${id}`);
  await new Promise((resolve) => setTimeout(resolve, 10));
  if (isFunctionBroken) return;
  const tags = instances.get(id)?.tags;
  if (sample.startsWith('terminating')) tags?.set(DEFAULT_TAG.key, DEFAULT_TAG.value);
  else tags?.delete(DEFAULT_TAG.key);
}

beforeEach(() => {
  useFakeTime();
  started = Date.now();
  events = [];
  staged = [];
  const tags = (id: string) => new NotingMap<string>(id, []);
  instances = new NotingMap(
    'EC2',
    [ID, OTHER, STAYING].map((id) => [id, { tags: tags(id), lifecycleState: 'InService' }] as const),
  );
  haproxies = [() => servers({ inPlace: [ID, OTHER] })];
  looks = [];
  consumerFailures = [[]];
  functionErrors = [];
  stateAtKill = [];
  isFunctionBroken = false;
  guestOf = undefined;
});

async function run(name: ScenarioName) {
  const running = runScenario(name, {
    plan: PLAN,
    haproxies: haproxies.length,
    consumer,
    zip: new Uint8Array(),
    folder: '/nowhere',
    environment: {},
    signal: new AbortController().signal,
    onProgress() {},
  });
  await vi.advanceTimersByTimeAsync(PLAN.loadMs + 1000);
  return await running;
}

const ENDS = [
  [PLAN.loadMs, 'load stops'],
  [PLAN.loadMs, 'everything ends'],
];

describe('a scenario', () => {
  test('with the function: message, heartbeat timeout, kill, and EC2 forgets first the tag and then the instance', async () => {
    const outcome = await run('function');
    expect(events).toEqual([
      [100, `terminating-to-warm-pool ${ID}`],
      [200, `terminating ${OTHER}`],
      [1100, `kill ${ID}, stopped`],
      [1200, `kill ${OTHER}, terminated`],
      [1700, `${OTHER} loses ${DEFAULT_TAG.key}`],
      [2000, `restart ${ID}`],
      [2000, `launching-from-warm-pool ${ID}`],
      [2010, `${ID} loses ${DEFAULT_TAG.key}`],
      [1700 + consumer.intervalMs, `EC2 loses ${OTHER}`],
      ...ENDS,
    ]);
    expect(outcome).toEqual({
      name: 'function',
      consumer: 'slow',
      commands: ['examples/slow web'],
      instanceIds: [ID, OTHER, STAYING],
      results: [RESULT],
      scaleIns: [
        { instanceId: ID, hookAt: 100, taggedAt: 110, killedAt: 1100 },
        { instanceId: OTHER, hookAt: 200, taggedAt: 210, killedAt: 1200 },
      ],
      returned: { instanceId: ID, at: 2010, tagLeft: false },
      functionErrors: [],
      consumerFailures: [],
    });
    expect(staged).toEqual([{ mode: 'plain', completes: false }]);
  });

  test.for(['nothing', 'careful'] as const)('"%s" kills at once, without the function', async (name) => {
    const { scaleIns, returned } = await run(name);
    expect(events).toEqual([
      [100, `kill ${ID}, stopped`],
      [200, `kill ${OTHER}, terminated`],
      [700, `${OTHER} loses ${DEFAULT_TAG.key}`],
      [2000, `restart ${ID}`],
      [700 + consumer.intervalMs, `EC2 loses ${OTHER}`],
      ...ENDS,
    ]);
    expect(scaleIns).toEqual([
      { instanceId: ID, killedAt: 100 },
      { instanceId: OTHER, killedAt: 200 },
    ]);
    expect(returned).toEqual({ instanceId: ID, at: 2000, tagLeft: false });
    expect(staged).toEqual([{ mode: name === 'careful' ? 'careful' : 'plain', completes: false }]);
  });

  test('reports a tag that is not set, a tag that is left, and the failures of the function and of every consumer', async () => {
    isFunctionBroken = true;
    instances.get(ID)?.tags.set(DEFAULT_TAG.key, DEFAULT_TAG.value);
    functionErrors.push('Error: no');
    consumerFailures = [['one'], ['two', 'three']];
    const { scaleIns, ...outcome } = await run('function');
    expect(scaleIns.map(({ taggedAt }) => taggedAt)).toEqual([110, undefined]);
    expect(outcome).toMatchObject({
      returned: { instanceId: ID, at: 2010, tagLeft: true },
      functionErrors: ['Error: no'],
      consumerFailures: ['one', 'two', 'three'],
    });
  });

  test.for([0, 1])('notes when an instance is out of HAProxy, also if HAProxy %i of two is late', async (late) => {
    haproxies = [0, 1].map((n) => () => servers({ inPlace: n === late && now() < 900 ? [ID] : [] }));
    const { scaleIns } = await run('function');
    expect(scaleIns.map(({ outAt }) => outAt)).toEqual([900, 200]);
  });
});

describe('a scenario in which the consumer ends the wait', () => {
  const IDLE = servers({});

  /** The consumer sees these servers in each HAProxy at this time. */
  function look(at: number, ...seen: Servers[]): void {
    setTimeout(() => {
      for (const [n, servers] of seen.entries()) looks[n]?.push({ at: Date.now(), servers });
    }, at);
  }

  /** The consumer completes the lifecycle action. */
  function complete(at: number, id: string): void {
    setTimeout(() => {
      const instance = instances.get(id);
      if (instance?.lifecycleState === 'Terminating:Wait') instance.lifecycleState = 'Terminating:Proceed';
    }, at);
  }

  beforeEach(() => {
    looks = [[], []];
    haproxies = [() => IDLE, () => IDLE];
  });

  test('kills an instance when its wait ends, and notes how long the consumer has seen the instance idle', async () => {
    for (const at of [400, 650]) look(at, IDLE, IDLE);
    complete(700, ID);
    const { scaleIns } = await run('complete');
    expect(events).toContainEqual([700, `kill ${ID}, stopped`]);
    expect(scaleIns).toMatchObject([
      { instanceId: ID, killedAt: 700, completion: { wasIdle: true, seenIdleMs: 250 } },
      { instanceId: OTHER, killedAt: 1200 },
    ]);
    expect(scaleIns[1]).not.toHaveProperty('completion');
    expect(staged).toEqual([{ mode: 'plain', completes: true }]);
  });

  test.for([
    ['in place', { inPlace: [ID] }],
    ['busy', { busy: [ID] }],
    ['not to be seen', undefined],
  ] as const)('notes that the second HAProxy has the instance %s when its wait ends', async ([, given]) => {
    haproxies = [() => IDLE, () => given && servers(given)];
    complete(700, ID);
    const { scaleIns } = await run('complete');
    expect(scaleIns[0]).toMatchObject({ completion: { wasIdle: false, seenIdleMs: 0 } });
  });

  test('ends a wait only once, and the returned instance is in service', async () => {
    const { scaleIns } = await run('complete');
    expect(scaleIns.map(({ killedAt }) => killedAt)).toEqual([1100, 1200]);
    expect(scaleIns.some(({ completion }) => completion)).toBe(false);
    // Nobody can end the wait after its end.
    expect(stateAtKill).toEqual(['Terminating:Proceed', 'Terminating:Proceed']);
    expect(instances.get(ID)?.lifecycleState).toBe('InService');
  });

  test.each<[string, [number, ...Servers[]][], number]>([
    [
      'after three looks',
      [
        [300, IDLE, IDLE],
        [400, IDLE, IDLE],
        [500, IDLE, IDLE],
      ],
      500,
    ],
    [
      'after three looks at an instance that is busy only there',
      [300, 400, 500].map((at) => [at, IDLE, servers({ busy: [OTHER] })]),
      500,
    ],
    [
      'not while the instance is busy in another HAProxy',
      [300, 400, 500].map((at) => [at, servers({ busy: [OTHER] }), IDLE]),
      700,
    ],
    ['not while the instance is in place', [300, 400, 500].map((at) => [at, IDLE, servers({ inPlace: [OTHER] })]), 700],
    ['at the latest shortly before the heartbeat timeout', [], 700],
  ])(
    'a client stays connected to the last instance over the last HAProxy, and leaves %s',
    async (_, seen, leavesAt) => {
      for (const [at, ...servers] of seen) look(at, ...servers);
      const { results, scaleIns } = await run('complete');
      expect(guestOf).toEqual([1001, OTHER]);
      expect(events.filter(([, event]) => event === 'guest leaves')).toEqual([[leavesAt, 'guest leaves']]);
      expect(results).toEqual([RESULT, { at: 200, ms: leavesAt - 200, server: OTHER }]);
      expect(scaleIns.map(({ hadGuest }) => hadGuest)).toEqual([undefined, true]);
    },
  );

  test('a client that stayed connected is lost when the wait ends too early', async () => {
    complete(300, OTHER);
    const { results } = await run('complete');
    expect(results).toEqual([RESULT, expect.objectContaining({ at: 200, cause: 'cut off' })]);
    expect(events).not.toContainEqual(expect.arrayContaining(['guest leaves']));
  });
});

describe('an instance is out of HAProxy', () => {
  const IN = servers({ inPlace: [ID] });
  const OUT = servers({ inPlace: [OTHER], busy: [ID] });

  test.for([
    ['last', [IN, OUT], [OUT, IN]],
    ['first', [OUT, IN], [OUT, IN]],
  ] as const)('when it is out of the last of several HAProxies: %s', ([, first, second]) => {
    const scaleIn: ScaleIn = { instanceId: ID };
    noteServersOut([scaleIn], first, 1);
    noteServersOut([scaleIn], second, 2);
    expect(scaleIn.outAt).toBeUndefined();
    noteServersOut([scaleIn], [OUT, OUT], 3);
    noteServersOut([scaleIn], [OUT, OUT], 4);
    expect(scaleIn.outAt).toBe(3);
  });

  test('not while one HAProxy does not answer', () => {
    const scaleIn: ScaleIn = { instanceId: ID };
    noteServersOut([scaleIn], [OUT, undefined], 1);
    expect(scaleIn.outAt).toBeUndefined();
  });

  test('not if HAProxy uses it again before the kill; after the kill it may come back', () => {
    const scaleIn: ScaleIn = { instanceId: ID };
    noteServersOut([scaleIn], [OUT], 1);
    noteServersOut([scaleIn], [IN], 2);
    expect(scaleIn.outAt).toBeUndefined();
    noteServersOut([scaleIn], [OUT], 3);
    scaleIn.killedAt = 4;
    noteServersOut([scaleIn], [IN], 5);
    expect(scaleIn.outAt).toBe(3);
  });
});
