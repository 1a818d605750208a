import { describe, expect, test } from 'vitest';
import { answered, consumer, type Given, ID, ON_TIME, OTHER, outcome } from './fixtures.ts';
import { planFor } from './plan.ts';
import { type Completion, hasFunction, SCENARIOS, type ScaleIn, type ScenarioName } from './scenario.ts';
import { problemsOf } from './verdict.ts';

const run = { plan: planFor(consumer), consumer };

/** The losses that the verdict expects of a scenario. */
const expectedLosses = (name: ScenarioName) => (hasFunction(name) ? 0 : 1);

describe('the verdict on a run', () => {
  test('finds nothing wrong when the function loses no request and the comparisons do', () => {
    const outcomes = [outcome('nothing', { lost: 3 }), outcome('careful', { lost: 1 }), outcome('function')];
    expect(problemsOf(run, outcomes)).toEqual([]);
  });

  test.for<[string, Given, string]>([
    ['the lost requests', { lost: 2 }, '2 of 13 requests lost'],
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

  test('names five errors of the function and of the consumer at most', () => {
    const errors = ['1', '2', '3', '4', '5', '6'];
    const problems = problemsOf(run, [outcome('function', { functionErrors: errors, consumerFailures: errors })]);
    expect(problems).toEqual(
      ['function', 'consumer'].flatMap((who) =>
        errors.slice(0, 5).map((error) => `with the function: the ${who} failed: ${error}`),
      ),
    );
  });

  test.for(['nothing', 'careful', 'function'] as const)('names problems that "%s" can have', (name) => {
    const given = { lost: expectedLosses(name), servesAgain: false, consumerFailures: ['no permission'] };
    expect(problemsOf(run, [outcome(name, given)])).toEqual([
      expect.stringContaining(`${ID} came back from the warm pool and got no request`),
      expect.stringContaining('the consumer failed: no permission'),
    ]);
    if (name !== 'function') expect(problemsOf(run, [outcome(name)])).toEqual([expect.stringContaining('too easy')]);
  });

  test.for([
    ['function', 'own', 'the consumer slow did not run, but this did: own'],
    ['careful', 'slow', 'the consumer own did not run, but this did: slow'],
  ] as const)('of the scenario "%s" names the consumer that ran by mistake: %s', ([name, consumer, problem]) => {
    expect(problemsOf(run, [outcome(name, { lost: expectedLosses(name), consumer })])).toEqual([
      `${SCENARIOS[name]}: ${problem}`,
    ]);
  });

  test.for([
    ['out of HAProxy so late that its last requests may not be answered', { outAt: 3601 }],
    ['never out of HAProxy', {}],
  ] as const)('says that the heartbeat timeout is too short when an instance was %s', ([, times]) => {
    const scaleIns = [{ instanceId: ID, hookAt: 1000, taggedAt: 1010, killedAt: 5000, ...times }];
    expect(problemsOf(run, [outcome('function', { scaleIns, lost: 1 })])).toEqual([
      expect.stringMatching('^with the function: heartbeat timeout too short in 1 of 1 scale-ins'),
      expect.stringContaining('1 of 12 requests lost'),
    ]);
  });

  test('calls it luck when the heartbeat timeout is too short and no request was lost, and shows the sum', () => {
    const late = outcome('function', { scaleIns: [{ ...ON_TIME, outAt: 3601 }] });
    expect(problemsOf(run, [late])).toEqual([
      expect.stringMatching(
        /^with the function: no request lost, but by luck: heartbeat timeout too short in 1 of 1 scale-ins: it is 5.60 s, and has to be at least 0.01 s delivery and tag \+ .* = 4.61 s$/,
      ),
    ]);
    // Without a reload no old worker is left, and the last requests end sooner.
    expect(problemsOf({ ...run, consumer: { ...consumer, reloads: false } }, [late])).toEqual([]);
  });
});

describe('the verdict on a wait that the consumer ended', () => {
  const completed = (completion: Partial<Completion> = {}, times: Partial<ScaleIn> = {}): ScaleIn => ({
    ...ON_TIME,
    ...times,
    completion: { wasIdle: true, seenIdleMs: 1000, ...completion },
  });
  const problems = (...scaleIns: ScaleIn[]) => problemsOf(run, [outcome('complete', { scaleIns })]);

  test('finds nothing wrong when the consumer saw the instance idle for one interval', () => {
    expect(problems(completed())).toEqual([]);
    // The instance is idle, so its last requests are answered.
    expect(problems(completed({}, { outAt: 4999 }))).toEqual([]);
    expect(problems(completed(), { ...ON_TIME, hadGuest: true })).toEqual([]);
  });

  test.for<[string, ScaleIn[], string]>([
    [
      'one look too early',
      [completed({ seenIdleMs: 999 })],
      'ended the wait before two looks in a row at every HAProxy found no connection to',
    ],
    ['while it was busy', [completed({ wasIdle: false })], 'ended the wait while an HAProxy still used'],
    ['not at all', [completed({}, { instanceId: OTHER }), ON_TIME], 'did not end the wait of'],
  ])('names an instance whose wait the consumer ended %s', ([, scaleIns, problem]) => {
    const prefix = 'with the function, wait ended by the consumer: ';
    expect(problems(...scaleIns)).toEqual([`${prefix}the consumer ${problem} ${ID}`]);
  });

  test('names everything that the scenario with the function would name', () => {
    const untagged = { instanceId: ID, hookAt: 1000, killedAt: 5000, completion: { wasIdle: true, seenIdleMs: 1000 } };
    const given = { scaleIns: [untagged], lost: 1, tagLeft: true, functionErrors: ['no'], consumerFailures: ['no'] };
    expect(problemsOf(run, [outcome('complete', given)])).toHaveLength(5);
    const late = { ...ON_TIME, outAt: 3601, hadGuest: true };
    expect(problems(late)).toEqual([expect.stringContaining('heartbeat timeout too short in 1 of 1 scale-ins')]);
  });
});

describe('p99 of a loss-free run', () => {
  /** Half of the requests take this time, so it is p99. */
  const taking = (ms: number, name: ScenarioName = 'function') =>
    outcome(name, { results: Array.from({ length: 11 }, () => answered({ ms })), lost: expectedLosses(name) });

  test.for([
    ['twice that of the best comparison', [taking(500, 'nothing'), taking(410, 'careful')], 820],
    ['twice the longest answer of a server, without a comparison', [], 800],
    ['twice the longest answer of a server, if a comparison has only quick answers', [taking(30, 'nothing')], 800],
  ] as const)('is a problem when it is more than %s', ([, comparisons, most]) => {
    expect(problemsOf(run, [...comparisons, taking(most)])).toEqual([]);
    expect(problemsOf(run, [...comparisons, taking(most + 1)])).toEqual([
      `with the function: answers were slow: p99 is ${most + 1} ms, expected at most ${most} ms`,
    ]);
  });
});
