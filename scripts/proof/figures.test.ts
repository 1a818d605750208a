import { expect, test } from 'vitest';
import { answered, failed, ID, outcome } from './fixtures.ts';

test('latencies are at the nearest rank', () => {
  const results = Array.from({ length: 189 }, (_, n) => answered({ ms: n + 1 }));
  // Eleven more requests take 200 ms in every scenario.
  expect(outcome('function', { results }).figures).toMatchObject({ sent: 200, p50Ms: 100, p99Ms: 200 });
  const twice = [...results, ...results];
  expect(outcome('function', { results: twice }).figures).toMatchObject({ p50Ms: 98, p99Ms: 200 });
});

test('every loss is counted by its cause', () => {
  const results = ['502 Bad Gateway', '502 Bad Gateway', 'reset'].map(failed);
  expect(outcome('nothing', { results }).figures).toMatchObject({
    sent: 14,
    answered: 11,
    lost: 3,
    lostByCause: { '502 Bad Gateway': 2, reset: 1 },
  });
});

test('an answer of the returned instance counts only after its return', () => {
  const results = [100, 7999, 8000].map((at) => answered({ at, server: ID }));
  expect(outcome('nothing', { results, servesAgain: false }).figures.answeredAfterReturn).toBe(0);
  expect(outcome('nothing', { results }).figures.answeredAfterReturn).toBe(1);
});

test('times from the hook to the tag, and from the tag to out of HAProxy, have a median and a longest', () => {
  const scaleIns = [10, 30, 20].map((tag) => ({
    instanceId: ID,
    hookAt: 500,
    taggedAt: 500 + tag,
    outAt: 500 + tag + tag * 100,
    killedAt: 1500 + tag * 100,
  }));
  expect(outcome('function', { scaleIns }).figures).toMatchObject({
    hookToTagMs: { median: 20, longest: 30 },
    tagToOutMs: { median: 2000, longest: 3000 },
    waitMs: { median: 3000, longest: 4000 },
  });
});
