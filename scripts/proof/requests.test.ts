import { expect, test } from 'vitest';
import { plannedRequests } from './requests.ts';

const PLAN = { seed: 1, requestsPerSecond: 1000, loadMs: 10_000 };

test('the same seed gives the same requests, and another seed gives others', () => {
  expect(plannedRequests(PLAN)).toEqual(plannedRequests(PLAN));
  expect(plannedRequests({ ...PLAN, seed: 2 })).not.toEqual(plannedRequests(PLAN));
});

test('a quarter of the requests is POST, 60 % use kept-alive connections, and answers take 20 to 400 ms', () => {
  const requests = plannedRequests(PLAN);
  expect(requests.map(({ at }) => at)).toEqual(Array.from({ length: 10_000 }, (_, n) => n));
  expect(requests.filter(({ method }) => method === 'POST').length / requests.length).toBeCloseTo(0.25, 1);
  expect(requests.filter(({ keptAlive }) => keptAlive).length / requests.length).toBeCloseTo(0.6, 1);
  const answers = requests.map(({ answerMs }) => answerMs);
  expect([Math.min(...answers), Math.max(...answers)]).toEqual([20, 400]);
});
