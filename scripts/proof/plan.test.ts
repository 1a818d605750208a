import { expect, test } from 'vitest';
import { chef } from './consumers/chef.ts';
import { own } from './consumers/own.ts';
import { runtimeApi } from './consumers/runtime-api.ts';
import { script } from './consumers/script.ts';
import { consumer } from './fixtures.ts';
import { heartbeatArithmetic, planFor } from './plan.ts';

test('the heartbeat timeout is the sum of what has to fit into it, unless another one is given', () => {
  expect(heartbeatArithmetic(consumer)).toEqual({
    ms: 5600,
    sentence:
      "1.00 s delivery and tag + 2.00 s consumer's interval + 0.70 s its run + " +
      '1.00 s kept-alive connection of an old worker + 0.40 s longest request + 0.50 s margin = 5.60 s',
  });
  expect(planFor(consumer).heartbeatMs).toBe(5600);
  expect(planFor({ ...consumer, reloads: false }).heartbeatMs).toBe(4600);
  expect(planFor(consumer, { heartbeatMs: 10, completes: true }).heartbeatMs).toBe(10);
  // Three more intervals.
  expect(planFor(consumer, { completes: true }).heartbeatMs).toBe(11_600);
});

test.for([false, true])('both consumers have time to see the last kill and the return (short: %s)', (short) => {
  const slow = planFor({ ...consumer, intervalMs: 20_000, runMs: 9000 }, { short });
  expect(slow.returnAt).toBeGreaterThan(Math.max(...slow.scaleInsAt) + slow.heartbeatMs);
  expect(slow.loadMs).toBeGreaterThan(slow.returnAt + 29_000);
  const quick = planFor({ ...consumer, intervalMs: 1, runMs: 1 }, { short });
  expect(quick.loadMs).toBeGreaterThan(quick.returnAt + own.intervalMs + own.runMs);
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
  const times = new Set(planFor(planned).scaleInsAt);
  const points = [...times].map((time) => (time % intervalMs) / intervalMs).toSorted((a, b) => a - b);
  const gaps = points.map((point, n) => (points[n + 1] ?? 1 + (points[0] ?? 0)) - point);
  expect(gaps).toHaveLength(6);
  expect(Math.min(...gaps)).toBeGreaterThan(0.05);
  expect(Math.max(...gaps)).toBeLessThan(0.35);
});
