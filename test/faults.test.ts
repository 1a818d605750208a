import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Ec2Endpoint, startEc2Endpoint } from '../scripts/aws/ec2-endpoint.ts';
import type { Fault } from '../scripts/aws/ec2-fault.ts';
import { startLambda } from '../scripts/aws/lambda.ts';
import { bundle } from '../scripts/bundle.ts';
import { event } from './event.ts';

// As shipped, because what the build leaves out of the SDK must not be what these faults need.
const { zip } = await bundle();

const INSTANCE = 'i-05629ab7d9287e205';
let endpoint: Ec2Endpoint;

beforeEach(async () => {
  endpoint = await startEc2Endpoint();
  endpoint.instances.set(INSTANCE, { tags: new Map([['Name', 'web-1']]) });
});

afterEach(() => endpoint.close());

function tags() {
  return Object.fromEntries(endpoint.instances.get(INSTANCE)?.tags ?? []);
}

async function invoke(events: unknown, timeoutMs = 15_000) {
  const lambda = await startLambda(zip, { environment: { AWS_ENDPOINT_URL: endpoint.url }, timeoutMs });
  try {
    return await lambda.invoke(typeof events === 'string' ? event(events) : events);
  } finally {
    await lambda.stop();
  }
}

describe('the zipped function, over a real socket', () => {
  it.each<[string, Fault]>([
    ['an error in XML', { status: 503, code: 'RequestLimitExceeded' }],
    ['an error that only its name shows to be transient', { status: 400, code: 'ConcurrentTagAccess' }],
    ['a page from a proxy on the way', { status: 502, html: '<html><body><h1>502 Bad Gateway</h1></body></html>' }],
    ['a reset', 'reset'],
    ['no answer', 'hang'],
    ['an answer that stops', 'hang in body'],
    ['an answer that is cut off', 'reset in body'],
  ])('sets the tag when EC2 is well again after %s', async (_, fault) => {
    endpoint.faults.push(fault);
    const { log, error } = await invoke('terminating');
    expect(error).toBeUndefined();
    expect(tags()).toMatchObject({ remove_from_lb: 'yes' });
    expect(endpoint.calls.map(({ outcome }) => outcome)).toEqual([fault, 200]);
    expect(log).toMatchObject([{ level: 'INFO', message: { outcome: 'tagged' } }]);
  });

  it.each<Fault>(['hang', 'hang in body'])('ends before its deadline when EC2 never answers: %s', async (fault) => {
    endpoint.lastingFault = fault;
    const { log, error } = await invoke('terminating', 2000);
    const errorMessage = 'EC2 did not answer in the time that was left';
    expect(error).toEqual({ errorType: 'DeadlineError', errorMessage });
    const reason = `DeadlineError: ${errorMessage}`;
    expect(log).toMatchObject([{ level: 'ERROR', message: { outcome: 'failed', reason } }]);
  });

  it("throws EC2's own last error rather than the cut at the deadline", async () => {
    endpoint.faults.push({ status: 503, code: 'Unavailable' });
    endpoint.lastingFault = 'hang';
    const { error } = await invoke('terminating', 3000);
    expect(error).toMatchObject({ errorType: 'Unavailable' });
  });

  it('throws a permanent refusal at once', async () => {
    endpoint.lastingFault = { status: 403, code: 'UnauthorizedOperation' };
    expect(await invoke('terminating')).toMatchObject({ error: { errorType: 'UnauthorizedOperation' } });
    expect(endpoint.calls).toHaveLength(1);
  });

  it('takes an instance that EC2 does not know for gone', async () => {
    endpoint.instances.clear();
    const { log, error } = await invoke('terminating');
    expect(error).toBeUndefined();
    expect(log).toMatchObject([{ level: 'WARN', message: { outcome: 'gone' } }]);
  });

  it('tags every instance of a scale-in that goes over the bucket', async () => {
    await endpoint.close();
    endpoint = await startEc2Endpoint({ bucket: { capacity: 2, refillPerSecond: 5 } });
    const ids = Array.from({ length: 8 }, (_, n) => `i-0000000000000000${n}`);
    for (const id of ids) endpoint.instances.set(id, { tags: new Map() });
    const [record] = event('terminating').Records;
    const Records = ids.map((id) => JSON.parse(JSON.stringify(record).replaceAll(INSTANCE, id)));
    expect(await invoke({ Records })).not.toHaveProperty('error');
    expect([...endpoint.instances.values()].every(({ tags }) => tags.get('remove_from_lb') === 'yes')).toBe(true);
    expect(endpoint.calls.filter(({ outcome }) => outcome === 503).length).toBeGreaterThan(0);
  });
});
