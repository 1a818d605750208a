import {
  CreateTagsCommand,
  DeleteTagsCommand,
  DescribeInstancesCommand,
  type DescribeInstancesCommandInput,
  EC2Client,
  type Tag,
} from '@aws-sdk/client-ec2';
import { describe, expect, it as test, vi } from 'vitest';
import { startEc2Endpoint, type TokenBucket } from './ec2-endpoint.ts';

const ONE = 'i-05629ab7d9287e205';
const TWO = 'i-1b2c3d4e';
const UNKNOWN = 'i-00000000';
const ODD_NAME = 'web <&"\'> 1';
const DRAIN = { Key: 'drain', Value: 'yes' };
const B = { Key: 'b', Value: '2' };

const it = test
  .extend('bucket', undefined as TokenBucket | undefined)
  .extend('endpoint', async ({ bucket, onTestFinished }) => {
    const endpoint = await startEc2Endpoint(bucket);
    onTestFinished(() => endpoint.close());
    endpoint.instances.set(ONE, { tags: new Map([['Name', ODD_NAME]]), privateIpAddress: '10.0.0.1' });
    endpoint.instances.set(TWO, { tags: new Map(), state: 'terminated' });
    return endpoint;
  })
  .extend('client', ({ endpoint, onTestFinished }) => {
    const credentials = { accessKeyId: 'AKIALOCAL', secretAccessKey: 'local' };
    const client = new EC2Client({ region: 'us-west-2', endpoint: endpoint.url, credentials, maxAttempts: 1 });
    onTestFinished(() => client.destroy());
    return client;
  })
  .extend('create', ({ client }) => (Resources: string[], ...Tags: Tag[]) => {
    return client.send(new CreateTagsCommand({ Resources, Tags }));
  })
  .extend('find', ({ client }) => async (input: DescribeInstancesCommandInput) => {
    const { Reservations = [], NextToken } = await client.send(new DescribeInstancesCommand(input));
    return { ids: Reservations.map(({ Instances }) => Instances?.[0]?.InstanceId), NextToken };
  })
  .extend(
    'tags',
    ({ endpoint }) =>
      (id: string) =>
        Object.fromEntries(endpoint.instances.get(id)?.tags ?? []),
  );

it('sets tags on several instances, and replaces older values', async ({ create, tags }) => {
  await create([ONE, TWO], DRAIN);
  await create([ONE], { Key: 'drain', Value: '' }, B);
  expect(tags(ONE)).toEqual({ Name: ODD_NAME, drain: '', b: '2' });
  expect(tags(TWO)).toEqual({ drain: 'yes' });
});

it('sets no tag when it does not know one of the instances', async ({ create, tags }) => {
  const error = { name: 'InvalidInstanceID.NotFound', $metadata: { httpStatusCode: 400 } };
  await expect(create([ONE, UNKNOWN], DRAIN)).rejects.toMatchObject(error);
  expect(tags(ONE)).toEqual({ Name: ODD_NAME });
});

it('deletes only a tag with the value named', async ({ client, create, tags }) => {
  await create([ONE], DRAIN, B);
  await client.send(new DeleteTagsCommand({ Resources: [ONE], Tags: [{ ...DRAIN, Value: 'no' }, B] }));
  expect(tags(ONE)).toEqual({ Name: ODD_NAME, drain: 'yes' });
});

it('describes instances with tags, address and state', async ({ client }) => {
  const { Reservations } = await client.send(new DescribeInstancesCommand({}));
  expect(Reservations?.map(({ Instances }) => Instances)).toEqual([
    [
      {
        InstanceId: ONE,
        PrivateIpAddress: '10.0.0.1',
        State: { Name: 'running' },
        Tags: [{ Key: 'Name', Value: ODD_NAME }],
      },
    ],
    [{ InstanceId: TWO, State: { Name: 'terminated' }, Tags: [] }],
  ]);
});

it.for<[Record<string, string[]>, string[]]>([
  [{ 'tag:drain': ['yes'] }, [TWO]],
  [{ 'tag:drain': [''] }, []],
  [{ 'instance-state-name': ['running', 'pending'] }, [ONE]],
  [{ 'instance-id': [TWO, UNKNOWN] }, [TWO]],
  [{ 'instance-id': [TWO], 'instance-state-name': ['running'] }, []],
])('finds the instances that match every filter: %j', async ([filters, ids], { create, find }) => {
  await create([TWO], DRAIN);
  const Filters = Object.entries(filters).map(([Name, Values]) => ({ Name, Values }));
  expect((await find({ Filters })).ids).toEqual(ids);
});

it.for([
  [{}, 1000],
  [{ MaxResults: 667 }, 667],
] as const)('pages the instances, by default at the maximum: %j', async ([size, length], { endpoint, find }) => {
  endpoint.instances.clear();
  const ids = Array.from({ length: 2001 }, (_, n) => `i-${n.toString(16).padStart(8, '0')}`);
  for (const id of ids) endpoint.instances.set(id, { tags: new Map() });
  let NextToken: string | undefined;
  for (let from = 0; from < ids.length; from += length) {
    const page = await find({ ...size, ...(NextToken && { NextToken }) });
    expect(page.ids).toEqual(ids.slice(from, from + length));
    NextToken = page.NextToken;
  }
  expect(NextToken).toBeUndefined();
});

it('refuses an unknown filter and an unknown action', async ({ endpoint, find }) => {
  const Filters = [{ Name: 'colour', Values: ['red'] }];
  await expect(find({ Filters })).rejects.toMatchObject({ name: 'InvalidParameterValue' });
  const response = await fetch(endpoint.url, { method: 'POST', body: 'Action=RunInstances' });
  expect(response.status).toBe(400);
  expect(await response.text()).toContain('<Code>InvalidAction</Code>');
});

it('records each call with its key, time and outcome', async ({ create, endpoint }) => {
  await create([ONE], DRAIN);
  await create([UNKNOWN], DRAIN).catch(() => {});
  expect(endpoint.calls).toMatchObject([
    { action: 'CreateTags', accessKeyId: 'AKIALOCAL', outcome: 200 },
    { action: 'CreateTags', accessKeyId: 'AKIALOCAL', outcome: 400 },
  ]);
  expect(endpoint.calls[0]?.parameters.get('ResourceId.1')).toBe(ONE);
  expect(endpoint.calls[1]?.at).toBeGreaterThan(endpoint.calls[0]?.at ?? Number.POSITIVE_INFINITY);
});

describe('with a token bucket', () => {
  it.override('bucket', { capacity: 2, refillPerSecond: 10 });

  it('refuses calls while the bucket is empty', async ({ create }) => {
    // Whole milliseconds, because a sum with a fraction may be rounded to less than a token.
    const start = Math.ceil(performance.now());
    const clock = vi.spyOn(performance, 'now').mockReturnValue(start);
    async function answersOfThreeCalls(): Promise<unknown[]> {
      const answers = [];
      for (let n = 0; n < 3; n += 1) answers.push((await create([ONE], DRAIN).catch((error) => error)).$metadata);
      return answers.map(({ httpStatusCode }) => httpStatusCode);
    }
    expect(await answersOfThreeCalls()).toEqual([200, 200, 503]);
    clock.mockReturnValue(start + 100);
    expect(await answersOfThreeCalls()).toEqual([200, 503, 503]);
    clock.mockReturnValue(start + 600);
    expect(await answersOfThreeCalls()).toEqual([200, 200, 503]);
    await expect(create([ONE], DRAIN)).rejects.toMatchObject({ name: 'RequestLimitExceeded' });
  });
});

it.for([
  [
    { status: 500, code: 'InternalError' },
    { name: 'InternalError', $metadata: { httpStatusCode: 500 } },
  ],
  [{ status: 502, html: '<html>' }, { $metadata: { httpStatusCode: 502 } }],
  ['reset', { code: 'ECONNRESET' }],
] as const)('answers a fault once, or until it is removed: %j', async ([fault, error], { create, endpoint }) => {
  endpoint.faults.push(fault);
  await expect(create([ONE], DRAIN)).rejects.toMatchObject(error);
  await create([ONE], DRAIN);
  endpoint.lastingFault = fault;
  await expect(create([ONE], DRAIN)).rejects.toMatchObject(error);
  await expect(create([ONE], DRAIN)).rejects.toMatchObject(error);
  endpoint.lastingFault = undefined;
  await create([ONE], DRAIN);
});
