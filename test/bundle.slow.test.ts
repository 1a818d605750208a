import { describe, expect } from 'vitest';
import type { Fault } from '../scripts/local-aws/ec2-endpoint.ts';
import { it } from './helpers/zipped-function.ts';

describe.concurrent('the zipped function, over a real socket', () => {
  // The function ends such a call after REQUEST_TIMEOUT_MS, and repeats the call.
  it.for<[string, Fault]>([
    ['no answer', 'hang'],
    ['an answer that stops', 'hang in body'],
  ])('sets the tag when EC2 works again after %s', ([, fault], { expectTagAfter }) => expectTagAfter(fault));

  it.for<Fault>(['hang', 'hang in body'])(
    'ends before its deadline when EC2 never answers: %s',
    async (fault, { endpoint, invoke }) => {
      endpoint.lastingFault = fault;
      // The function keeps the last second to log and report the error.
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
});
