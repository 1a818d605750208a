import { describe, expect } from 'vitest';
import type { Fault } from '../scripts/local-aws/ec2-fault.ts';
import { it } from './helpers/zipped-function.ts';

describe.concurrent('the zipped function, over a real socket', () => {
  it.for<[string, Fault]>([
    ['an error in XML', { status: 503, code: 'RequestLimitExceeded' }],
    ['an error that only its name shows to be transient', { status: 400, code: 'ConcurrentTagAccess' }],
    ['a page from a proxy on the way', { status: 502, html: '<html><body><h1>502 Bad Gateway</h1></body></html>' }],
    ['a reset', 'reset'],
    ['an answer that is cut off', 'reset in body'],
  ])('sets the tag when EC2 works again after %s', ([, fault], { expectTagAfter }) => expectTagAfter(fault));

  it('throws a permanent refusal at once', async ({ endpoint, invoke }) => {
    endpoint.lastingFault = { status: 403, code: 'UnauthorizedOperation' };
    expect(await invoke('terminating')).toMatchObject({ error: { errorType: 'UnauthorizedOperation' } });
    expect(endpoint.calls).toHaveLength(1);
  });

  it('reports an instance that EC2 does not know as gone', async ({ endpoint, invoke }) => {
    endpoint.instances.clear();
    const { log, error } = await invoke('terminating');
    expect(error).toBeUndefined();
    expect(log).toMatchObject([{ level: 'WARN', message: { outcome: 'gone' } }]);
  });
});
