import { describe, expect, test } from 'vitest';
import { chef } from './consumers/chef.ts';
import { own } from './consumers/own.ts';
import { runtimeApi } from './consumers/runtime-api.ts';
import { script } from './consumers/script.ts';
import { evaluate } from './figures.ts';
import { answered, consumer, failed, given, ID, ON_TIME, OTHER } from './made-up-outcomes.ts';
import { fullPlan, heartbeatArithmetic, shortPlan } from './plan.ts';
import { noteWhatIsOut, type ScaleIn } from './scenario.ts';
import { problemsOf } from './verdict.ts';

const plan = shortPlan(consumer);
const terms = { plan, consumer };

describe('the verdict on a run', () => {
  test('finds nothing wrong when the function loses none and the others do', () => {
    expect(
      problemsOf(terms, [given('nothing', { lost: 3 }), given('careful', { lost: 1 }), given('function')]),
    ).toEqual([]);
  });

  test.for(['nothing', 'careful'] as const)('calls a scenario too kind in which "%s" loses none', (name) => {
    expect(problemsOf(terms, [given(name)])).toEqual([expect.stringContaining('too kind')]);
  });

  test.for([1, 2])('counts the requests that the function lost: %i', (lost) => {
    expect(problemsOf(terms, [given('function', { lost })])).toEqual([
      `with the function: ${lost} of ${11 + lost} requests lost`,
    ]);
  });

  test('says that the machine was too busy, where something else is wrong and requests were sent late', () => {
    const late = answered({ lateMs: 1234 });
    expect(problemsOf(terms, [given('function', { results: [late], lost: 1 })])).toEqual([
      expect.stringContaining('1 of 13 requests lost'),
      'with the function: this machine was too busy: requests were sent up to 1.2 s late',
    ]);
    expect(problemsOf(terms, [given('function', { results: [late] })])).toEqual([]);
  });

  test('names unusual causes once each, and no more of them than one reads', () => {
    const results = Array.from({ length: 2000 }, (_, n) => failed({ cause: 'other', detail: `cause ${n % 1000}` }));
    expect(problemsOf(terms, [given('function', { results })])).toEqual([
      'with the function: 2000 of 2011 requests lost ' +
        '(other: cause 0, cause 1, cause 2, cause 3, cause 4, and 995 more)',
    ]);
  });

  test('names what the function threw, once each', () => {
    expect(problemsOf(terms, [given('function', { functionErrors: ['Error: no', 'Error: no'] })])).toEqual([
      'with the function: the function failed: Error: no',
    ]);
  });

  test.for(['nothing', 'careful', 'function'] as const)('names a run of the consumer that failed in "%s"', (name) => {
    const lost = name === 'function' ? 0 : 1;
    expect(problemsOf(terms, [given(name, { lost, consumerFailures: ['no permission'] })])).toEqual([
      expect.stringContaining('the consumer failed: no permission'),
    ]);
  });

  test('names an instance on which the function set no tag', () => {
    const scaleIn = { instanceId: ID, hookAt: 1000, outAt: 2000, killedAt: 5000 };
    expect(problemsOf(terms, [given('function', { scaleIn })])).toEqual([
      `with the function: the function set no tag on ${ID}`,
    ]);
  });

  test('names an instance that came back from the warm pool with its tag on', () => {
    expect(problemsOf(terms, [given('function', { tagLeft: true })])).toEqual([
      expect.stringContaining(`${ID} came back from the warm pool with its tag on`),
    ]);
  });

  test.for(['nothing', 'careful', 'function'] as const)(
    'names an instance that came back from the warm pool and got no request in "%s"',
    (name) => {
      const lost = name === 'function' ? 0 : 1;
      expect(problemsOf(terms, [given(name, { lost, servesAgain: false })])).toEqual([
        expect.stringContaining(`${ID} came back from the warm pool and got no request`),
      ]);
    },
  );

  test.for([
    ['the delivery of the message and its retries', { taggedAt: 5001, outAt: 6000 }],
    ["the consumer's interval and run", { taggedAt: 1010, outAt: 5001 }],
    ["the consumer's interval and run", { taggedAt: 1010 }],
    ['the last requests', { taggedAt: 1010, outAt: 3601 }],
  ] as const)('says that the heartbeat timeout is too short for %s', ([part, times]) => {
    const scaleIn = { instanceId: ID, hookAt: 1000, killedAt: 5000, ...times };
    expect(problemsOf(terms, [given('function', { scaleIn, lost: 1 })])).toEqual([
      expect.stringContaining(`heartbeat timeout too short for ${part}`),
      expect.stringContaining('1 of 12 requests lost'),
    ]);
  });

  test('calls it luck when the heartbeat timeout is too short and no request was lost', () => {
    const scaleIn = { ...ON_TIME, outAt: 3601 };
    const [problem, ...others] = problemsOf(terms, [given('function', { scaleIn })]);
    expect(problem).toMatch(
      /^with the function: no request lost, but by luck: heartbeat timeout too short for the last/,
    );
    expect(problem).toContain(
      'in 1 of 1 scale-ins: it is 5.60 s, and has to be at least 0.01 s delivery and tag + ' +
        "2.00 s consumer's interval + 0.70 s its run + 1.00 s kept-alive connection of an old worker + " +
        '0.40 s longest request + 0.50 s margin = 4.61 s',
    );
    expect(others).toEqual([]);
  });

  test('grants the last requests of an old worker only where there is one', () => {
    const outcome = given('function', { scaleIn: { ...ON_TIME, outAt: 4599 } });
    expect(problemsOf({ plan, consumer: { ...consumer, reloads: false } }, [outcome])).toEqual([]);
    expect(problemsOf(terms, [outcome])).toEqual([expect.stringContaining('too short for the last requests')]);
  });
});

describe('a loss-free run with slow answers', () => {
  // Half of the 22 requests: p99 is the latency of these.
  const taking = (ms: number, name: 'nothing' | 'careful' | 'function' = 'function') =>
    given(name, {
      results: Array.from({ length: 11 }, () => answered({ ms })),
      lost: name === 'function' ? 0 : 1,
    });

  test('is a problem when p99 is more than twice that of the best comparison', () => {
    const comparisons = [taking(500, 'nothing'), taking(410, 'careful')];
    expect(problemsOf(terms, [...comparisons, taking(820)])).toEqual([]);
    expect(problemsOf(terms, [...comparisons, taking(1620)])).toEqual([
      'with the function: answers were slow: p99 is 1,620 ms, expected at most 820 ms, ' +
        'twice the p99 of the scenario "careful HAProxy" (410 ms)',
    ]);
  });

  test('is a problem without a comparison when p99 is more than twice the longest answer of a server', () => {
    expect(problemsOf(terms, [taking(800)])).toEqual([]);
    expect(problemsOf(terms, [taking(801)])).toEqual([
      'with the function: answers were slow: p99 is 801 ms, expected at most 800 ms, ' +
        'twice the longest answer of a server (400 ms)',
    ]);
  });

  test('is held against the longest answer of a server where a comparison has only quick answers', () => {
    expect(problemsOf(terms, [taking(30, 'nothing'), taking(800)])).toEqual([]);
  });

  test('is only a problem of the scenario with the function', () => {
    expect(problemsOf(terms, [taking(5000, 'nothing'), taking(5000, 'careful'), taking(300)])).toEqual([]);
  });

  test('is explained by a machine that was too busy', () => {
    const results = Array.from({ length: 11 }, () => answered({ ms: 2000, lateMs: 1800 }));
    expect(problemsOf(terms, [given('function', { results })])).toEqual([
      expect.stringContaining('answers were slow'),
      'with the function: this machine was too busy: requests were sent up to 1.8 s late',
    ]);
  });
});

describe('the heartbeat timeout', () => {
  test('is the sum of what has to fit into it', () => {
    expect(heartbeatArithmetic(consumer)).toEqual({
      ms: 5600,
      sentence:
        "1.00 s delivery and tag + 2.00 s consumer's interval + 0.70 s its run + " +
        '1.00 s kept-alive connection of an old worker + 0.40 s longest request + 0.50 s margin = 5.60 s',
    });
    expect(heartbeatArithmetic({ ...consumer, reloads: false }).ms).toBe(4600);
  });

  test.for([fullPlan, shortPlan])('of $name follows from the consumer, unless it is given', (planOf) => {
    expect(planOf(consumer).heartbeatMs).toBe(5600);
    expect(planOf(consumer, { heartbeatMs: 10 }).heartbeatMs).toBe(10);
  });

  test.for([fullPlan, shortPlan])('of $name leaves the consumer time to see the last kill and the return', (planOf) => {
    const { scaleInsAt, heartbeatMs, returnAt, loadMs } = planOf({ ...consumer, intervalMs: 20_000, runMs: 9000 });
    expect(returnAt).toBeGreaterThan(Math.max(...scaleInsAt) + heartbeatMs);
    expect(loadMs).toBeGreaterThan(returnAt + 29_000);
  });

  test.for([fullPlan, shortPlan])('of $name leaves the builder of the comparisons as much time', (planOf) => {
    const { returnAt, loadMs } = planOf({ ...consumer, intervalMs: 1, runMs: 1 });
    expect(loadMs).toBeGreaterThan(returnAt + own.intervalMs + own.runMs);
  });
});

// Each of them: the consumer that the plan is made for, and the builder of the comparisons under the same plan.
test.for([
  [own.name, own, own.intervalMs],
  [script.name, script, script.intervalMs],
  [runtimeApi.name, runtimeApi, runtimeApi.intervalMs],
  [chef.name, chef, chef.intervalMs],
  [`${own.name}, under the plan for ${runtimeApi.name},`, runtimeApi, own.intervalMs],
  [`${own.name}, under the plan for ${chef.name},`, chef, own.intervalMs],
] as const)('scale-ins find the consumer %s at six points spread over its interval', ([, planned, intervalMs]) => {
  const times = new Set(fullPlan(planned).scaleInsAt);
  const points = [...times].map((time) => (time % intervalMs) / intervalMs).toSorted((a, b) => a - b);
  const gaps = points.map((point, n) => (points[n + 1] ?? 1 + (points[0] ?? 0)) - point);
  expect(gaps).toHaveLength(6);
  expect(Math.min(...gaps)).toBeGreaterThan(0.05);
  expect(Math.max(...gaps)).toBeLessThan(0.35);
});

describe('the figures of a scenario', () => {
  test('hold the latencies at the nearest rank', () => {
    const results = Array.from({ length: 189 }, (_, n) => ({ at: n, lateMs: 0, ms: n + 1, server: OTHER }));
    // With the eleven of 200 ms that are given to every scenario.
    expect(given('function', { results }).figures).toMatchObject({ sent: 200, p50Ms: 100, p99Ms: 200 });
    expect(given('function', { results: [...results, ...results] }).figures).toMatchObject({
      p50Ms: 98,
      p99Ms: 200,
    });
  });

  test('count every loss, by its cause', () => {
    const results = [failed({ cause: '502' }), failed({ cause: '502' }), failed({ cause: 'reset' })];
    expect(given('nothing', { results }).figures).toMatchObject({
      sent: 14,
      answered: 11,
      lost: 3,
      lostByCause: { '502': 2, reset: 1, '503': 0, '504': 0, 'reset on reuse': 0, timeout: 0, other: 0 },
    });
  });

  test('count an answer of the returned instance only after its return', () => {
    const before = [100, 7999, 8000].map((at) => ({ at, lateMs: 0, ms: 1, server: ID }));
    expect(given('nothing', { results: before, servesAgain: false }).figures.answeredAfterReturn).toBe(0);
    expect(given('nothing', { results: before }).figures.answeredAfterReturn).toBe(1);
  });

  test('hold median and longest of the times from the hook to the tag, and from the tag until out of HAProxy', () => {
    const outcome = given('function');
    const times = [
      [10, 1000],
      [30, 3000],
      [20, 2000],
    ] as const;
    const scaleIns = times.map(([tag, out]) => ({
      instanceId: ID,
      hookAt: 500,
      taggedAt: 500 + tag,
      outAt: 500 + tag + out,
    }));
    expect(evaluate({ ...outcome, scaleIns }).figures).toMatchObject({
      hookToTagMs: { median: 20, longest: 30 },
      tagToOutMs: { median: 2000, longest: 3000 },
    });
  });
});

describe('an instance is out of HAProxy', () => {
  test('when the last of several has let go of it', () => {
    const scaleIn: ScaleIn = { instanceId: ID };
    noteWhatIsOut([scaleIn], [new Set([ID]), new Set()], 1);
    expect(scaleIn.outAt).toBeUndefined();
    noteWhatIsOut([scaleIn], [new Set(), new Set([OTHER])], 2);
    noteWhatIsOut([scaleIn], [new Set(), new Set([OTHER])], 3);
    expect(scaleIn.outAt).toBe(2);
  });

  test('not while one of them does not answer', () => {
    const scaleIn: ScaleIn = { instanceId: ID };
    noteWhatIsOut([scaleIn], [new Set(), undefined], 1);
    expect(scaleIn.outAt).toBeUndefined();
  });

  test('not for good when it is taken back before its end, but when it comes back after it', () => {
    const scaleIn: ScaleIn = { instanceId: ID };
    noteWhatIsOut([scaleIn], [new Set()], 1);
    noteWhatIsOut([scaleIn], [new Set([ID])], 2);
    expect(scaleIn.outAt).toBeUndefined();
    noteWhatIsOut([scaleIn], [new Set()], 3);
    scaleIn.killedAt = 4;
    noteWhatIsOut([scaleIn], [new Set([ID])], 5);
    expect(scaleIn.outAt).toBe(3);
  });
});
