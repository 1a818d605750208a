import { describe, expect } from 'vitest';
import type { Fault } from '../scripts/local-aws/ec2-endpoint.ts';
import { DEFAULT_TAG } from '../src/settings.ts';
import { event } from './helpers/event.ts';
import { INSTANCE, it } from './helpers/zipped-function.ts';

describe.concurrent('the zipped function, over a real socket', () => {
  // The function gives up such a call after REQUEST_TIMEOUT_MS.
  it.for<[string, Fault]>([
    ['no answer', 'hang'],
    ['an answer that stops', 'hang in body'],
  ])('sets the tag when EC2 works again after %s', ([, fault], { expectTagAfter }) => expectTagAfter(fault));

  it.for<Fault>(['hang', 'hang in body'])(
    'ends before its deadline when EC2 never answers: %s',
    async (fault, { endpoint, invoke }) => {
      endpoint.lastingFault = fault;
      // The function keeps the last second for its report.
      const { log, error } = await invoke('terminating', 1200);
      const errorMessage = 'EC2 did not answer in the time that was left';
      expect(error).toEqual({ errorType: 'DeadlineError', errorMessage });
      const reason = `DeadlineError: ${errorMessage}`;
      expect(log).toMatchObject([{ level: 'ERROR', message: { outcome: 'failed', reason } }]);
    },
  );

  it("throws EC2's last error instead of the error at the deadline", async ({ endpoint, invoke }) => {
    endpoint.faults.push({ status: 503, code: 'Unavailable' });
    endpoint.lastingFault = 'hang';
    expect(await invoke('terminating', 3000)).toMatchObject({ error: { errorType: 'Unavailable' } });
  });

  it('reports an instance that EC2 does not find as gone', async ({ endpoint, start }) => {
    endpoint.instances.clear();
    const lambda = await start({ timeoutMs: 30_000 });
    expect(await lambda.invoke(event('terminating'))).toMatchObject({
      log: [{ level: 'WARN', message: { outcome: 'gone' } }],
    });
  });

  describe('with a bucket of request tokens', () => {
    it.override('bucket', { capacity: 2, refillPerSecond: 5 });

    it('tags every instance of a scale-in that is larger than the bucket', async ({ endpoint, invoke }) => {
      const ids = Array.from({ length: 8 }, (_, n) => `i-0000000000000000${n}`);
      for (const id of ids) endpoint.instances.set(id, { tags: new Map() });
      const [record] = event('terminating').Records;
      const Records = ids.map((id) => JSON.parse(JSON.stringify(record).replaceAll(INSTANCE, id)));
      expect(await invoke({ Records })).not.toHaveProperty('error');
      for (const id of ids) expect(endpoint.instances.get(id)?.tags.get(DEFAULT_TAG.key)).toBe(DEFAULT_TAG.value);
      expect(endpoint.calls.filter(({ outcome }) => outcome === 503).length).toBeGreaterThan(0);
    });
  });
});
