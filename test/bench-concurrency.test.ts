import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { BUCKET, HEARTBEAT_TIMEOUT_MS, simulate, TIMEOUT_MS } from '../scripts/bench/concurrency.ts';

// The last two do not come to an end within the heartbeat timeout.
const scaleIns = [
  { instances: 20, copies: 5 },
  { instances: 300, copies: 10 },
  { instances: 1000, copies: 5 },
  { instances: 1000, copies: Number.POSITIVE_INFINITY },
  { instances: 300, copies: 1 },
  { instances: 4000, copies: Number.POSITIVE_INFINITY },
].map(({ instances, copies }) => ({ instances, copies, ...simulate(instances, copies, 7) }));

test.each(scaleIns)('$copies copies for $instances instances: never more at once', ({ copies, invocations }) => {
  for (const { from } of invocations) {
    expect(invocations.filter((other) => other.from <= from && from < other.to).length).toBeLessThanOrEqual(copies);
  }
});

test.each(scaleIns)('$copies copies for $instances instances: no tag beyond the bucket', ({ taggedAt }) => {
  for (const [count, at] of taggedAt.entries()) {
    expect(count + 1).toBeLessThanOrEqual(BUCKET.capacity + (BUCKET.refillPerSecond * at) / 1000 + 1e-6);
  }
});

test.each(scaleIns)('$copies copies for $instances instances: nothing begins that is too old', (outcome) => {
  expect(Math.max(...outcome.taggedAt, ...outcome.invocations.map(({ from }) => from))).toBeLessThan(
    HEARTBEAT_TIMEOUT_MS,
  );
});

test.each(scaleIns)('$copies copies for $instances instances: each ends tagged or given up', (outcome) => {
  expect(outcome.taggedAt.length + outcome.givenUp).toBe(outcome.instances);
});

test('what does not fit into the heartbeat timeout is given up', () => {
  expect(scaleIns.map(({ givenUp }) => givenUp > 0)).toEqual([false, false, false, false, true, true]);
});

test('events wait for room only where copies are limited', () => {
  expect(simulate(100, Number.POSITIVE_INFINITY, 7).throttled).toBe(0);
  expect(simulate(100, 10, 7).throttled).toBeGreaterThanOrEqual(90);
});

test('the same seed gives the same scale-in', () => {
  expect(simulate(100, 5, 7)).toEqual(simulate(100, 5, 7));
  expect(simulate(100, 5, 8)).not.toEqual(simulate(100, 5, 7));
});

test("the simulation has the template's timeouts", () => {
  const template = parse(readFileSync(new URL('../template.yaml', import.meta.url), 'utf8'), { logLevel: 'silent' });
  expect(template.Parameters.HeartbeatTimeout.Default * 1000).toBe(HEARTBEAT_TIMEOUT_MS);
  expect(template.Resources.Function.Properties.Timeout * 1000).toBe(TIMEOUT_MS);
});
