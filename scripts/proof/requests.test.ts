import { expect, test } from 'vitest';
import { plannedRequests } from './requests.ts';

test('a quarter of the requests is POST, 60 % use kept-alive connections, and answers take 20 to 400 ms', () => {
  const plan = { requestsPerSecond: 1000, loadMs: 10_000 };
  const requests = plannedRequests(plan);
  expect(requests.map(({ at }) => at)).toEqual(Array.from({ length: 10_000 }, (_, n) => n));
  expect(requests.filter(({ method }) => method === 'POST').length / requests.length).toBeCloseTo(0.25, 1);
  expect(requests.filter(({ keptAlive }) => keptAlive).length / requests.length).toBeCloseTo(0.6, 1);
  const answers = requests.map(({ answerMs }) => answerMs);
  expect([Math.min(...answers), Math.max(...answers)]).toEqual([20, 400]);
  // The same load runs in all scenarios.
  expect(plannedRequests(plan)).toEqual(requests);
});
