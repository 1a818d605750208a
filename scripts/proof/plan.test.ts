import { describe, expect, test } from 'vitest';
import { chef } from './consumers/chef.ts';
import { own } from './consumers/own.ts';
import { runtimeApi } from './consumers/runtime-api.ts';
import { script } from './consumers/script.ts';
import { consumer } from './fixtures.ts';
import { fullPlan, heartbeatArithmetic, shortPlan } from './plan.ts';

test('the heartbeat timeout is the sum of what has to fit into it', () => {
  expect(heartbeatArithmetic(consumer)).toEqual({
    ms: 5600,
    sentence:
      "1.00 s delivery and tag + 2.00 s consumer's interval + 0.70 s its run + " +
      '1.00 s kept-alive connection of an old worker + 0.40 s longest request + 0.50 s margin = 5.60 s',
  });
  expect(heartbeatArithmetic({ ...consumer, reloads: false }).ms).toBe(4600);
});

describe.for([fullPlan, shortPlan])('$name', (planOf) => {
  test('has the heartbeat timeout that the consumer needs, unless another one is given', () => {
    expect(planOf(consumer).heartbeatMs).toBe(5600);
    expect(planOf(consumer, { heartbeatMs: 10 }).heartbeatMs).toBe(10);
  });

  test('leaves the consumer time to see the last kill and the return', () => {
    const { scaleInsAt, heartbeatMs, returnAt, loadMs } = planOf({ ...consumer, intervalMs: 20_000, runMs: 9000 });
    expect(returnAt).toBeGreaterThan(Math.max(...scaleInsAt) + heartbeatMs);
    expect(loadMs).toBeGreaterThan(returnAt + 29_000);
  });

  test('leaves the consumer of the comparisons as much time', () => {
    const { returnAt, loadMs } = planOf({ ...consumer, intervalMs: 1, runMs: 1 });
    expect(loadMs).toBeGreaterThan(returnAt + own.intervalMs + own.runMs);
  });
});

// The consumer that the plan is made for, and the consumer of the comparisons in the same plan.
test.for([
  [own.name, own, own.intervalMs],
  [script.name, script, script.intervalMs],
  [runtimeApi.name, runtimeApi, runtimeApi.intervalMs],
  [chef.name, chef, chef.intervalMs],
  [`${own.name}, in the plan for ${runtimeApi.name},`, runtimeApi, own.intervalMs],
  [`${own.name}, in the plan for ${chef.name},`, chef, own.intervalMs],
] as const)('scale-ins come at six points spread over the interval of %s', ([, planned, intervalMs]) => {
  const times = new Set(fullPlan(planned).scaleInsAt);
  const points = [...times].map((time) => (time % intervalMs) / intervalMs).toSorted((a, b) => a - b);
  const gaps = points.map((point, n) => (points[n + 1] ?? 1 + (points[0] ?? 0)) - point);
  expect(gaps).toHaveLength(6);
  expect(Math.min(...gaps)).toBeGreaterThan(0.05);
  expect(Math.max(...gaps)).toBeLessThan(0.35);
});
