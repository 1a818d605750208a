import { describe, expect, test } from 'vitest';
import { answered, consumer, failed, type Given, ID, ON_TIME, outcome } from './fixtures.ts';
import { shortPlan } from './plan.ts';
import type { ScenarioName } from './scenario.ts';
import { problemsOf } from './verdict.ts';

const run = { plan: shortPlan(consumer), consumer };

/** The losses that the verdict expects of a scenario. */
const expectedLosses = (name: ScenarioName) => (name === 'function' ? 0 : 1);

describe('the verdict on a run', () => {
  test('finds nothing wrong when the function loses no request and the comparisons do', () => {
    const outcomes = [outcome('nothing', { lost: 3 }), outcome('careful', { lost: 1 }), outcome('function')];
    expect(problemsOf(run, outcomes)).toEqual([]);
  });

  test.for<[string, Given, string]>([
    ['the lost requests', { lost: 2 }, '2 of 13 requests lost'],
    [
      'each unusual cause once, up to a limit',
      { results: Array.from({ length: 2000 }, (_, n) => failed({ cause: 'other', detail: `cause ${n % 1000}` })) },
      '2000 of 2011 requests lost (other: cause 0, cause 1, cause 2, cause 3, cause 4, and 995 more)',
    ],
    [
      'each error of the function once',
      { functionErrors: ['Error: no', 'Error: no'] },
      'the function failed: Error: no',
    ],
    [
      'an instance on which the function set no tag',
      { scaleIns: [{ instanceId: ID, hookAt: 1000, outAt: 2000, killedAt: 5000 }] },
      `the function set no tag on ${ID}`,
    ],
    ['a returned instance with the tag', { tagLeft: true }, `${ID} came back from the warm pool with the tag`],
  ])('names %s', ([, given, problem]) => {
    expect(problemsOf(run, [outcome('function', given)])).toEqual([`with the function: ${problem}`]);
  });

  test.for(['nothing', 'careful'] as const)('calls "%s" too easy when it loses no request', (name) => {
    expect(problemsOf(run, [outcome(name)])).toEqual([expect.stringContaining('too easy')]);
  });

  test.for(['nothing', 'careful', 'function'] as const)(
    'names the problems that every scenario can have: "%s"',
    (name) => {
      const given = { lost: expectedLosses(name), servesAgain: false, consumerFailures: ['no permission'] };
      expect(problemsOf(run, [outcome(name, given)])).toEqual([
        expect.stringContaining(`${ID} came back from the warm pool and got no request`),
        expect.stringContaining('the consumer failed: no permission'),
      ]);
    },
  );

  test('says that the machine was too busy, if there is another problem and requests were sent late', () => {
    const late = answered({ lateMs: 1234 });
    expect(problemsOf(run, [outcome('function', { results: [late], lost: 1 })])).toEqual([
      expect.stringContaining('1 of 13 requests lost'),
      'with the function: this machine was too busy: requests were sent up to 1.2 s late',
    ]);
    expect(problemsOf(run, [outcome('function', { results: [late] })])).toEqual([]);
  });

  test.for([
    ['the delivery of the message and its retries', { taggedAt: 5001, outAt: 6000 }],
    ["the consumer's interval and run", { taggedAt: 1010, outAt: 5001 }],
    ["the consumer's interval and run", { taggedAt: 1010 }],
    ['the last requests', { taggedAt: 1010, outAt: 3601 }],
  ] as const)('says that the heartbeat timeout is too short for %s', ([part, times]) => {
    const scaleIns = [{ instanceId: ID, hookAt: 1000, killedAt: 5000, ...times }];
    expect(problemsOf(run, [outcome('function', { scaleIns, lost: 1 })])).toEqual([
      expect.stringContaining(`heartbeat timeout too short for ${part}`),
      expect.stringContaining('1 of 12 requests lost'),
    ]);
  });

  test('calls it luck when the heartbeat timeout is too short and no request was lost', () => {
    const [problem, ...others] = problemsOf(run, [outcome('function', { scaleIns: [{ ...ON_TIME, outAt: 3601 }] })]);
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

  test('expects the last requests of an old worker only if the consumer reloads HAProxy', () => {
    const late = outcome('function', { scaleIns: [{ ...ON_TIME, outAt: 4599 }] });
    expect(problemsOf({ ...run, consumer: { ...consumer, reloads: false } }, [late])).toEqual([]);
    expect(problemsOf(run, [late])).toEqual([expect.stringContaining('too short for the last requests')]);
  });
});

describe('a loss-free run with slow answers', () => {
  /** Half of the requests take this time, so it is p99. */
  const taking = (ms: number, name: ScenarioName = 'function') =>
    outcome(name, { results: Array.from({ length: 11 }, () => answered({ ms })), lost: expectedLosses(name) });

  test('is a problem when p99 is more than twice that of the best comparison', () => {
    const comparisons = [taking(500, 'nothing'), taking(410, 'careful')];
    expect(problemsOf(run, [...comparisons, taking(820)])).toEqual([]);
    expect(problemsOf(run, [...comparisons, taking(1620)])).toEqual([
      'with the function: answers were slow: p99 is 1,620 ms, expected at most 820 ms, ' +
        'twice the p99 of the scenario "careful HAProxy" (410 ms)',
    ]);
  });

  test('is a problem without a comparison when p99 is more than twice the longest answer of a server', () => {
    expect(problemsOf(run, [taking(800)])).toEqual([]);
    expect(problemsOf(run, [taking(801)])).toEqual([
      'with the function: answers were slow: p99 is 801 ms, expected at most 800 ms, ' +
        'twice the longest answer of a server (400 ms)',
    ]);
  });

  test('is compared with the longest answer of a server if a comparison has only quick answers', () => {
    expect(problemsOf(run, [taking(30, 'nothing'), taking(800)])).toEqual([]);
  });

  test('is a problem only in the scenario with the function', () => {
    expect(problemsOf(run, [taking(5000, 'nothing'), taking(5000, 'careful'), taking(300)])).toEqual([]);
  });
});
