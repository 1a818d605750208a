import {
  CreateTagsCommand,
  DeleteTagsCommand,
  DescribeInstancesCommand,
  type DescribeInstancesCommandInput,
  DescribeTagsCommand,
  EC2Client,
  type Tag,
} from '@aws-sdk/client-ec2';
import { describe, expect, it as test, vi } from 'vitest';
import { type Ec2EndpointOptions, startEc2Endpoint } from './ec2-endpoint.ts';
import { tokenBucket } from './token-bucket.ts';

const ONE = 'i-05629ab7d9287e205';
const TWO = 'i-1b2c3d4e';
const UNKNOWN = 'i-00000000';
const ODD_NAME = 'web <&"\'> 1';
const DRAIN = { Key: 'drain', Value: 'yes' };
const B = { Key: 'b', Value: '2' };

const it = test
  .extend('bucket', undefined as Ec2EndpointOptions['bucket'])
  .extend('endpoint', async ({ bucket, onTestFinished }) => {
    const endpoint = await startEc2Endpoint(bucket && { bucket });
    onTestFinished(() => endpoint.close());
    endpoint.instances.set(ONE, { tags: new Map([['Name', ODD_NAME]]), privateIpAddress: '10.0.0.1' });
    endpoint.instances.set(TWO, { tags: new Map(), state: 'terminated', launchTime: new Date('2024-03-23T03:26:43Z') });
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
  .extend('remove', ({ client }) => (id: string, ...tags: Tag[]) => {
    return client.send(new DeleteTagsCommand({ Resources: [id], ...(tags.length > 0 && { Tags: tags }) }));
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

describe('CreateTags', () => {
  it('sets tags on several instances, and replaces older values', async ({ create, tags }) => {
    await create([ONE, TWO], DRAIN);
    await create([ONE], { Key: 'drain', Value: '' }, B);
    expect(tags(ONE)).toEqual({ Name: ODD_NAME, drain: '', b: '2' });
    expect(tags(TWO)).toEqual({ drain: 'yes' });
  });

  it.for([
    ['InvalidInstanceID.NotFound', UNKNOWN],
    ['InvalidInstanceID.Malformed', 'vol-00000000'],
  ])('answers %s, and changes nothing', async ([name = '', id = ''], { create, tags }) => {
    await expect(create([ONE, id], DRAIN)).rejects.toMatchObject({ name, $metadata: { httpStatusCode: 400 } });
    expect(tags(ONE)).toEqual({ Name: ODD_NAME });
  });
});

describe('DeleteTags', () => {
  it('removes only a tag with the value named', async ({ create, remove, tags }) => {
    await create([ONE], DRAIN, B);
    await remove(ONE, { Key: 'drain', Value: 'no' }, B);
    expect(tags(ONE)).toEqual({ Name: ODD_NAME, drain: 'yes' });
  });

  it('removes a tag with any value when no value is named', async ({ create, remove, tags }) => {
    await create([ONE], DRAIN, B);
    await remove(ONE, { Key: 'drain' });
    expect(tags(ONE)).toEqual({ Name: ODD_NAME, b: '2' });
  });

  it('removes every tag except those of AWS when no tag is named', async ({ create, endpoint, remove, tags }) => {
    await create([ONE], DRAIN);
    endpoint.instances.get(ONE)?.tags.set('aws:autoscaling:groupName', 'web');
    await remove(ONE);
    expect(tags(ONE)).toEqual({ 'aws:autoscaling:groupName': 'web' });
  });
});

describe('DescribeTags and DescribeInstances', () => {
  it('show tags, addresses, states and launch times', async ({ client }) => {
    const { Tags } = await client.send(new DescribeTagsCommand({}));
    expect(Tags).toEqual([{ ResourceId: ONE, ResourceType: 'instance', Key: 'Name', Value: ODD_NAME }]);
    const { Reservations } = await client.send(new DescribeInstancesCommand({}));
    expect(Reservations?.map(({ Instances }) => Instances?.[0])).toMatchObject([
      {
        InstanceId: ONE,
        PrivateIpAddress: '10.0.0.1',
        State: { Code: 16, Name: 'running' },
        LaunchTime: expect.any(Date),
        Tags: [{ Key: 'Name', Value: ODD_NAME }],
      },
      { InstanceId: TWO, State: { Code: 48, Name: 'terminated' }, LaunchTime: new Date('2024-03-23T03:26:43Z') },
    ]);
  });

  it.for([
    [{ 'resource-id': [ONE] }, 2],
    [{ 'resource-id': [TWO] }, 0],
    [{ key: ['drain', 'x'] }, 1],
    [{ key: ['drain'], value: ['no'] }, 0],
  ] as const)('find the tags that match every filter: %j', async ([filters, count], { client, create }) => {
    await create([ONE], DRAIN);
    const Filters = Object.entries(filters).map(([Name, Values]) => ({ Name, Values }));
    const { Tags = [] } = await client.send(new DescribeTagsCommand({ Filters }));
    expect(Tags).toHaveLength(count);
  });

  it.for<[DescribeInstancesCommandInput, string[]]>([
    [{ Filters: [{ Name: 'tag:drain', Values: ['yes'] }] }, [TWO]],
    [{ Filters: [{ Name: 'instance-state-name', Values: ['running', 'pending'] }] }, [ONE]],
    [{ InstanceIds: [TWO] }, [TWO]],
  ])('find the instances that match every filter: %j', async ([input, ids], { create, find }) => {
    await create([TWO], DRAIN);
    expect((await find(input)).ids).toEqual(ids);
  });

  it.for([
    [{}, 1000],
    [{ MaxResults: 667 }, 667],
  ] as const)(
    'come in pages, by default of the largest size: %j',
    async ([size, length], { client, endpoint, find }) => {
      endpoint.instances.clear();
      const ids = Array.from({ length: 2001 }, (_, n) => `i-${n.toString(16).padStart(8, '0')}`);
      for (const id of ids) endpoint.instances.set(id, { tags: new Map([['Name', id]]) });
      const page = { ...size } as { MaxResults?: number; NextToken?: string };
      for (let from = 0; from < ids.length; from += length) {
        const instances = await find(page);
        const { Tags, NextToken } = await client.send(new DescribeTagsCommand(page));
        expect(instances.ids).toEqual(ids.slice(from, from + length));
        expect(Tags?.map(({ Value }) => Value)).toEqual(instances.ids);
        expect(NextToken).toBe(instances.NextToken);
        if (NextToken) page.NextToken = NextToken;
        else expect(from + length).toBeGreaterThanOrEqual(ids.length);
      }
    },
  );

  it.for<[string, DescribeInstancesCommandInput]>([
    ['InvalidParameterValue', { MaxResults: 4 }],
    ['InvalidParameterValue', { MaxResults: 1001 }],
    ['InvalidParameterCombination', { MaxResults: 5, InstanceIds: [ONE] }],
    ['InvalidParameterValue', { Filters: [{ Name: 'colour', Values: ['red'] }] }],
    ['InvalidInstanceID.NotFound', { InstanceIds: [UNKNOWN] }],
  ])('answer %s: %j', async ([name, input], { find }) => {
    await expect(find(input)).rejects.toMatchObject({ name });
  });

  it('answer FilterLimitExceeded for a filter with more than 200 values', async ({ find }) => {
    const Values = Array.from({ length: 201 }, (_, n) => `${n}`);
    const findByName = (values: string[]) => find({ Filters: [{ Name: 'tag:Name', Values: values }] });
    expect((await findByName(Values.slice(1))).ids).toEqual([]);
    await expect(findByName(Values)).rejects.toMatchObject({ name: 'FilterLimitExceeded' });
  });
});

describe('the endpoint', () => {
  it('speaks the query protocol as the AWS CLI does', async ({ endpoint, tags }) => {
    const body = `Action=CreateTags&Version=2016-11-15&ResourceId.1=${TWO}&Tag.1.Key=drain&Tag.1.Value=a+b%26c`;
    const response = await fetch(endpoint.url, { method: 'POST', body });
    expect(response.status).toBe(200);
    expect(await response.text()).toMatch(
      /^<\?xml version="1.0" encoding="UTF-8"\?>\n<CreateTagsResponse xmlns="http:\/\/ec2.amazonaws.com\/doc\/2016-11-15\/"><requestId>.{36}<\/requestId><return>true<\/return><\/CreateTagsResponse>$/,
    );
    expect(tags(TWO)).toEqual({ drain: 'a b&c' });
  });

  it('refuses an unknown action', async ({ endpoint }) => {
    const response = await fetch(endpoint.url, { method: 'POST', body: 'Action=RunInstances' });
    expect(response.status).toBe(400);
    expect(await response.text()).toMatch(
      /^<\?xml version="1.0" encoding="UTF-8"\?>\n<Response><Errors><Error><Code>InvalidAction<\/Code><Message>The action RunInstances is not valid for this web service.<\/Message><\/Error><\/Errors><RequestID>.{36}<\/RequestID><\/Response>$/,
    );
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

  describe('with a bucket of three tokens', () => {
    it.override('bucket', { capacity: 3, refillPerSecond: 0.001 });

    it('refuses calls while the bucket is empty', async ({ create }) => {
      const answers = await Promise.allSettled(Array.from({ length: 5 }, () => create([ONE], DRAIN)));
      const refused = answers.flatMap((answer) => (answer.status === 'rejected' ? [answer.reason] : []));
      expect(refused).toHaveLength(2);
      expect(refused[0]).toMatchObject({ name: 'RequestLimitExceeded', $metadata: { httpStatusCode: 503 } });
    });
  });

  it('has a token bucket that starts full, and refills to its capacity', ({ onTestFinished }) => {
    vi.useFakeTimers({ toFake: ['performance'] });
    onTestFinished(() => void vi.useRealTimers());
    const takeToken = tokenBucket({ capacity: 2, refillPerSecond: 10 });
    const takeThree = () => [takeToken(), takeToken(), takeToken()];
    expect(takeThree()).toEqual([true, true, false]);
    vi.advanceTimersByTime(100);
    expect(takeThree()).toEqual([true, false, false]);
    vi.advanceTimersByTime(500);
    expect(takeThree()).toEqual([true, true, false]);
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
});
