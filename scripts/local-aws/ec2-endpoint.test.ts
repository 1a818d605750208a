import {
  CreateTagsCommand,
  DeleteTagsCommand,
  DescribeInstancesCommand,
  DescribeTagsCommand,
  EC2Client,
} from '@aws-sdk/client-ec2';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type Ec2Endpoint, type Ec2EndpointOptions, startEc2Endpoint } from './ec2-endpoint.ts';

const ONE = 'i-05629ab7d9287e205';
const TWO = 'i-1b2c3d4e';
let endpoint: Ec2Endpoint;
let client: EC2Client;

beforeEach(() => start());
afterEach(() => {
  vi.useRealTimers();
  return stop();
});

async function start(options?: Ec2EndpointOptions) {
  endpoint = await startEc2Endpoint(options);
  endpoint.instances.set(ONE, { tags: new Map([['Name', 'web <&"\'> 1']]), privateIpAddress: '10.0.0.1' });
  endpoint.instances.set(TWO, { tags: new Map(), state: 'terminated', launchTime: new Date('2024-03-23T03:26:43Z') });
  client = new EC2Client({
    region: 'us-west-2',
    endpoint: endpoint.url,
    credentials: { accessKeyId: 'AKIALOCAL', secretAccessKey: 'local' },
    maxAttempts: 1,
  });
}

async function stop() {
  client.destroy();
  await endpoint.close();
}

async function restart(options: Ec2EndpointOptions) {
  await stop();
  await start(options);
}

function tags(id: string) {
  return Object.fromEntries(endpoint.instances.get(id)?.tags ?? []);
}

const create = (Resources: string[], Tags: { Key: string; Value: string }[]) =>
  client.send(new CreateTagsCommand({ Resources, Tags }));
const remove = (Resources: string[], Tags?: { Key: string; Value?: string }[]) =>
  client.send(new DeleteTagsCommand({ Resources, ...(Tags && { Tags }) }));
const drain = [{ Key: 'drain', Value: 'yes' }];

describe('CreateTags', () => {
  it('sets tags on several instances, in place of older values', async () => {
    await create([ONE, TWO], drain);
    await create(
      [ONE],
      [
        { Key: 'drain', Value: '' },
        { Key: 'b', Value: '2' },
      ],
    );
    expect(tags(ONE)).toEqual({ Name: 'web <&"\'> 1', drain: '', b: '2' });
    expect(tags(TWO)).toEqual({ drain: 'yes' });
  });

  it.each([
    ['InvalidInstanceID.NotFound', [ONE, 'i-00000000'], drain],
    ['InvalidInstanceID.Malformed', [ONE, 'vol-00000000'], drain],
    ['MissingParameter', [], drain],
    ['MissingParameter', [ONE], []],
    ['InvalidParameterValue', [ONE], [{ Key: 'aws:x', Value: '' }]],
    ['InvalidParameterValue', [ONE], [{ Key: 'Aws:x', Value: '' }]],
    ['InvalidParameterValue', [ONE], [{ Key: '', Value: '' }]],
    ['InvalidParameterValue', [ONE], [{ Key: 'k'.repeat(129), Value: '' }]],
    ['InvalidParameterValue', [ONE], [{ Key: 'k', Value: 'v'.repeat(257) }]],
    ['TagLimitExceeded', [TWO, ONE], Array.from({ length: 50 }, (_, n) => ({ Key: `${n}`, Value: '' }))],
  ])("answers %s in EC2's own words, and changes nothing", async (name, ids, wanted) => {
    await expect(create(ids, wanted)).rejects.toMatchObject({
      name,
      $metadata: { httpStatusCode: 400 },
    });
    expect(tags(ONE)).toEqual({ Name: 'web <&"\'> 1' });
    expect(tags(TWO)).toEqual({});
  });

  it('counts characters, not the units that they are made of', async () => {
    await create([TWO], [{ Key: '🏷'.repeat(128), Value: '🏷'.repeat(256) }]);
    expect(Object.keys(tags(TWO))).toHaveLength(1);
  });

  it('takes fifty tags', async () => {
    await create(
      [TWO],
      Array.from({ length: 50 }, (_, n) => ({ Key: `${n}`, Value: '' })),
    );
    expect(Object.keys(tags(TWO))).toHaveLength(50);
  });
});

describe('DeleteTags', () => {
  beforeEach(() => create([ONE], [...drain, { Key: 'b', Value: '2' }]).then(() => {}));

  it('removes a tag of that value only', async () => {
    await remove(
      [ONE],
      [
        { Key: 'drain', Value: 'no' },
        { Key: 'b', Value: '2' },
      ],
    );
    expect(tags(ONE)).toEqual({ Name: 'web <&"\'> 1', drain: 'yes' });
  });

  it('removes a tag of any value when none is named', async () => {
    await remove([ONE], [{ Key: 'drain' }]);
    expect(tags(ONE)).toEqual({ Name: 'web <&"\'> 1', b: '2' });
  });

  it("removes every tag but AWS's own when no tag is named", async () => {
    endpoint.instances.get(ONE)?.tags.set('aws:autoscaling:groupName', 'web');
    await remove([ONE]);
    expect(tags(ONE)).toEqual({ 'aws:autoscaling:groupName': 'web' });
  });
});

describe('DescribeTags and DescribeInstances', () => {
  it('give what is there, whatever characters it holds', async () => {
    const { Tags } = await client.send(new DescribeTagsCommand({}));
    expect(Tags).toEqual([{ ResourceId: ONE, ResourceType: 'instance', Key: 'Name', Value: 'web <&"\'> 1' }]);
    const { Reservations } = await client.send(new DescribeInstancesCommand({}));
    expect(Reservations?.map(({ Instances }) => Instances)).toMatchObject([
      [
        {
          InstanceId: ONE,
          PrivateIpAddress: '10.0.0.1',
          State: { Code: 16, Name: 'running' },
          LaunchTime: expect.any(Date),
          Tags: [{ Key: 'Name' }],
        },
      ],
      [
        {
          InstanceId: TWO,
          State: { Code: 48, Name: 'terminated' },
          LaunchTime: new Date('2024-03-23T03:26:43Z'),
        },
      ],
    ]);
  });

  it.each([
    [[{ Name: 'resource-id', Values: [ONE] }], 2],
    [[{ Name: 'resource-id', Values: [TWO] }], 0],
    [[{ Name: 'key', Values: ['drain', 'x'] }], 1],
    [
      [
        { Name: 'key', Values: ['drain'] },
        { Name: 'value', Values: ['no'] },
      ],
      0,
    ],
    [[{ Name: 'resource-type', Values: ['instance'] }], 2],
  ])('tags pass every filter: %j', async (Filters, count) => {
    await create([ONE], drain);
    const { Tags } = await client.send(new DescribeTagsCommand({ Filters }));
    expect(Tags ?? []).toHaveLength(count);
  });

  it.each([
    [{ Filters: [{ Name: 'tag:drain', Values: ['yes'] }] }, [TWO]],
    [{ Filters: [{ Name: 'instance-state-name', Values: ['running', 'pending'] }] }, [ONE]],
    [{ InstanceIds: [TWO] }, [TWO]],
  ])('instances pass every filter: %j', async (input, ids) => {
    await create([TWO], drain);
    const { Reservations } = await client.send(new DescribeInstancesCommand(input));
    expect(Reservations?.map(({ Instances }) => Instances?.[0]?.InstanceId)).toEqual(ids);
  });

  it.each([
    [undefined, [1000, 1000, 1]],
    [1000, [1000, 1000, 1]],
    [667, [667, 667, 667]],
  ])('come in pages, of the largest size when none is given: %s', async (MaxResults, sizes) => {
    endpoint.instances.clear();
    const ids = Array.from({ length: 2001 }, (_, n) => `i-${n.toString(16).padStart(8, '0')}`);
    for (const id of ids) endpoint.instances.set(id, { tags: new Map([['Name', id]]) });
    const instances: (string | undefined)[][] = [];
    const names: (string | undefined)[][] = [];
    for (let NextToken: string | undefined, n = 0; n < sizes.length; n += 1) {
      const answer = await client.send(new DescribeInstancesCommand({ ...(MaxResults && { MaxResults }), NextToken }));
      instances.push((answer.Reservations ?? []).map(({ Instances }) => Instances?.[0]?.InstanceId));
      NextToken = answer.NextToken;
      expect(NextToken === undefined).toBe(n === sizes.length - 1);
    }
    for (let NextToken: string | undefined, n = 0; n < sizes.length; n += 1) {
      const answer = await client.send(new DescribeTagsCommand({ ...(MaxResults && { MaxResults }), NextToken }));
      names.push((answer.Tags ?? []).map(({ Value }) => Value));
      NextToken = answer.NextToken;
      expect(NextToken === undefined).toBe(n === sizes.length - 1);
    }
    for (const pages of [instances, names]) {
      expect(pages.map(({ length }) => length)).toEqual(sizes);
      expect(pages.flat()).toEqual(ids);
    }
  });

  it.each([
    ['InvalidParameterValue', { MaxResults: 4 }],
    ['InvalidParameterValue', { MaxResults: 1001 }],
    ['InvalidPaginationToken', { NextToken: 'bm90IG1pbmU' }],
    ['InvalidParameterCombination', { MaxResults: 5, InstanceIds: [ONE] }],
  ])('refuse a page that EC2 does not have, as %s: %j', async (name, input) => {
    await expect(client.send(new DescribeInstancesCommand(input))).rejects.toMatchObject({ name });
  });

  it('refuse a filter with more than 200 values', async () => {
    const filtered = (count: number) => {
      const Values = Array.from({ length: count }, (_, n) => `i-${n.toString(16).padStart(8, '0')}`);
      return client.send(new DescribeTagsCommand({ Filters: [{ Name: 'resource-id', Values }] }));
    };
    await filtered(200);
    await expect(filtered(201)).rejects.toMatchObject({ name: 'FilterLimitExceeded' });
  });

  it('refuse a filter or an instance that they do not know', async () => {
    const wrong = new DescribeInstancesCommand({ Filters: [{ Name: 'colour', Values: ['red'] }] });
    await expect(client.send(wrong)).rejects.toMatchObject({ name: 'InvalidParameterValue' });
    const unknown = new DescribeInstancesCommand({ InstanceIds: ['i-00000000'] });
    await expect(client.send(unknown)).rejects.toMatchObject({ name: 'InvalidInstanceID.NotFound' });
  });
});

describe('the endpoint', () => {
  it('speaks the query protocol as the AWS CLI sends it', async () => {
    const response = await fetch(endpoint.url, {
      method: 'POST',
      headers: { 'Content-Type': 'application/x-www-form-urlencoded; charset=utf-8' },
      body: `Action=CreateTags&Version=2016-11-15&ResourceId.1=${TWO}&Tag.1.Key=drain&Tag.1.Value=a+b%26c`,
    });
    expect(response.status).toBe(200);
    expect(await response.text()).toMatch(
      /^<\?xml version="1.0" encoding="UTF-8"\?>\n<CreateTagsResponse xmlns="http:\/\/ec2.amazonaws.com\/doc\/2016-11-15\/"><requestId>.{36}<\/requestId><return>true<\/return><\/CreateTagsResponse>$/,
    );
    expect(tags(TWO)).toEqual({ drain: 'a b&c' });
  });

  it('refuses an action that it does not know', async () => {
    const response = await fetch(endpoint.url, { method: 'POST', body: 'Action=RunInstances' });
    expect(response.status).toBe(400);
    expect(await response.text()).toMatch(
      /^<\?xml version="1.0" encoding="UTF-8"\?>\n<Response><Errors><Error><Code>InvalidAction<\/Code><Message>The action RunInstances is not valid for this web service.<\/Message><\/Error><\/Errors><RequestID>.{36}<\/RequestID><\/Response>$/,
    );
  });

  it('remembers the calls: what, by whom, when, and how they ended', async () => {
    await create([ONE], drain);
    await create(['i-00000000'], drain).catch(() => {});
    expect(endpoint.calls).toMatchObject([
      { action: 'CreateTags', accessKeyId: 'AKIALOCAL', outcome: 200 },
      { action: 'CreateTags', accessKeyId: 'AKIALOCAL', outcome: 400 },
    ]);
    expect(endpoint.calls[0]?.parameters.get('ResourceId.1')).toBe(ONE);
    expect(endpoint.calls[1]?.at).toBeGreaterThan(endpoint.calls[0]?.at ?? Number.POSITIVE_INFINITY);
  });

  it('throttles as EC2 does: a bucket that is full at first', async () => {
    await restart({ bucket: { capacity: 3, refillPerSecond: 0.001 } });
    const answers = await Promise.allSettled(Array.from({ length: 5 }, () => create([ONE], drain)));
    const refused = answers.flatMap((answer) => (answer.status === 'rejected' ? [answer.reason] : []));
    expect(refused).toHaveLength(2);
    expect(refused[0]).toMatchObject({ name: 'RequestLimitExceeded', $metadata: { httpStatusCode: 503 } });
  });

  it('refills the bucket with time, and never over its brim', async () => {
    vi.useFakeTimers({ toFake: ['performance'] });
    await restart({ bucket: { capacity: 1, refillPerSecond: 10 } });
    await create([ONE], drain);
    // The time of five tokens.
    vi.advanceTimersByTime(500);
    const answers = await Promise.allSettled([create([ONE], drain), create([ONE], drain), create([ONE], drain)]);
    expect(answers.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
  });

  it.each([
    [
      { status: 500, code: 'InternalError' },
      { name: 'InternalError', $metadata: { httpStatusCode: 500 } },
    ],
    [{ status: 502, html: '<html>' }, { $metadata: { httpStatusCode: 502 } }],
    ['reset', { code: 'ECONNRESET' }],
  ] as const)('fails as it was set to, once or until it is set otherwise: %j', async (fault, error) => {
    endpoint.faults.push(fault);
    await expect(create([ONE], drain)).rejects.toMatchObject(error);
    await create([ONE], drain);
    endpoint.lastingFault = fault;
    await expect(create([ONE], drain)).rejects.toMatchObject(error);
    await expect(create([ONE], drain)).rejects.toMatchObject(error);
    endpoint.lastingFault = undefined;
    await create([ONE], drain);
  });

  it.each(['hang', 'hang in body'] as const)(
    'leaves a call without an end when it was set to, and can still be closed: %s',
    async (fault) => {
      endpoint.faults.push(fault);
      const call = new CreateTagsCommand({ Resources: [ONE], Tags: drain });
      const end = new AbortController();
      const ended = expect(client.send(call, { abortSignal: end.signal })).rejects.toThrow();
      await vi.waitFor(() => expect(endpoint.calls).toMatchObject([{ outcome: fault }]), {
        timeout: 30_000,
        interval: 5,
      });
      end.abort();
      await ended;
    },
  );
});
