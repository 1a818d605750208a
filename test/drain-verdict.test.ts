import { describe, expect, test } from 'vitest';
import { type Plan, shortPlan } from '../scripts/drain/plan.ts';
import { requestMix } from '../scripts/drain/request-mix.ts';
import type { ScaleIn, ScenarioName, ScenarioOutcome } from '../scripts/drain/scenario.ts';
import { problemsOf } from '../scripts/drain/verdict.ts';

const plan: Plan = shortPlan();
const ID = 'i-0a1b2c3d4e5f60700';
const ON_TIME: ScaleIn = { instanceId: ID, hookAt: 1000, taggedAt: 1010, reloadedAt: 2000, killedAt: 5000 };

describe('the verdict on a run', () => {
  test('finds nothing wrong when the function loses none and the others do', () => {
    expect(problemsOf(plan, [given('nothing', { lost: 3 }), given('careful', { lost: 1 }), given('function')])).toEqual(
      [],
    );
  });

  test.for(['nothing', 'careful'] as const)('calls a scenario too kind in which "%s" loses none', (name) => {
    expect(problemsOf(plan, [given(name)])).toEqual([expect.stringContaining('too kind')]);
  });

  test('counts the requests that the function lost', () => {
    expect(problemsOf(plan, [given('function', { lost: 2 })])).toEqual([
      expect.stringContaining('2 of 13 requests lost'),
    ]);
  });

  test('names an instance that came back from the warm pool with its tag on', () => {
    expect(problemsOf(plan, [given('function', { tagLeft: true })])).toEqual([
      expect.stringContaining(`${ID} came back from the warm pool with its tag on`),
    ]);
  });

  test('names an instance that came back from the warm pool and got no request', () => {
    expect(problemsOf(plan, [given('function', { servesAgain: false })])).toEqual([
      expect.stringContaining(`${ID} came back from the warm pool and got no request`),
    ]);
  });

  test.for([
    ['the delivery of the message and its retries', { taggedAt: 5001, reloadedAt: 6000 }],
    ["the builder's interval and the reload", { taggedAt: 1010, reloadedAt: 5001 }],
    ["the builder's interval and the reload", { taggedAt: 1010 }],
    ['the last requests of the old worker', { taggedAt: 1010, reloadedAt: 3700 }],
  ] as const)('says that the heartbeat timeout is too short for %s', ([part, times]) => {
    const scaleIn = { instanceId: ID, hookAt: 1000, killedAt: 5000, ...times };
    expect(problemsOf(plan, [given('function', { scaleIn })])).toEqual([
      expect.stringContaining(`heartbeat timeout too short for ${part}`),
    ]);
  });
});

describe('the load', () => {
  test('is the same for the same seed, and another for another', () => {
    expect(requestMix(plan)).toEqual(requestMix(plan));
    expect(requestMix({ ...plan, seed: 2 })).not.toEqual(requestMix(plan));
  });

  test('is a quarter POST, partly over connections kept alive, answered within 20 to 400 ms, at an even rate', () => {
    const load = requestMix({ ...plan, requestsPerSecond: 1000, loadMs: 10_000 });
    expect(load.map(({ at }) => at)).toEqual(Array.from({ length: 10_000 }, (_, n) => n));
    expect(load.filter(({ method }) => method === 'POST').length / load.length).toBeCloseTo(0.25, 1);
    expect(load.filter(({ keptAlive }) => keptAlive).length / load.length).toBeCloseTo(0.6, 1);
    const answers = load.map(({ answerMs }) => answerMs);
    expect([Math.min(...answers), Math.max(...answers)]).toEqual([20, 400]);
  });
});

function given(
  name: ScenarioName,
  { lost = 0, tagLeft = false, servesAgain = true, scaleIn = ON_TIME } = {},
): ScenarioOutcome {
  const answered = Array.from({ length: 10 }, (_, n) => ({ at: n * 1000, ms: 200, server: 'i-0a1b2c3d4e5f60701' }));
  const afterReturn = { at: 9000, ms: 200, server: servesAgain ? ID : 'i-0a1b2c3d4e5f60701' };
  const losses = Array.from({ length: lost }, () => ({ at: 5000, ms: 1, cause: '502' as const }));
  return {
    name,
    instanceIds: [ID],
    results: [...answered, afterReturn, ...losses],
    scaleIns: [scaleIn],
    returned: { instanceId: ID, at: 8000, tagLeft },
    longestReloadMs: 100,
    functionErrors: [],
  };
}
