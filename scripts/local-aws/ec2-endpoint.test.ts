import {
  AutoScalingClient,
  CompleteLifecycleActionCommand,
  DescribeAutoScalingInstancesCommand,
} from '@aws-sdk/client-auto-scaling';
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
import type { Instance } from './ec2-instances.ts';

const ONE = 'i-05629ab7d9287e205';
const TWO = 'i-1b2c3d4e';
const UNKNOWN = 'i-00000000';
const ODD_NAME = 'web <&"\'> 1';
const DRAIN = { Key: 'drain', Value: 'yes' };
const B = { Key: 'b', Value: '2' };

/** A tag whose name and value have characters that filters and XML treat specially. */
const ODD_TAG = ['a*b', '*?\\😀'] as const;

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
  .extend('autoScaling', ({ endpoint, onTestFinished }) => {
    const credentials = { accessKeyId: 'AKIALOCAL', secretAccessKey: 'local' };
    const client = new AutoScalingClient({ region: 'us-west-2', endpoint: endpoint.url, credentials, maxAttempts: 1 });
    onTestFinished(() => client.destroy());
    return client;
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

it('describes an instance that has only an IPv6 address', async ({ client, endpoint }) => {
  endpoint.instances.set(ONE, { tags: new Map(), privateIpAddress: '', ipv6Address: '2001:db8::5' });
  const { Reservations } = await client.send(new DescribeInstancesCommand({}));
  const [instance] = Reservations?.flatMap(({ Instances = [] }) => Instances) ?? [];
  expect(instance).toEqual({ InstanceId: ONE, Ipv6Address: '2001:db8::5', State: { Name: 'running' }, Tags: [] });
});

it.for<[Record<string, string[]>, string[]]>([
  [{ 'tag:drain': ['yes'] }, [TWO]],
  [{ 'tag:drain': ['y*'] }, [TWO]],
  [{ 'tag:drain': ['*yes*'] }, [TWO]],
  [{ 'tag:drain': ['y?s'] }, [TWO]],
  [{ 'tag:drain': ['y?'] }, []],
  [{ 'tag:drain': ['YES'] }, []],
  [{ 'tag:drain': ['y\\*'] }, []],
  [{ 'tag:drain': ['y.s'] }, []],
  [{ 'tag:a*b': ['\\*\\?\\\\?'] }, [ONE]],
  [{ 'tag:d*': ['yes'] }, []],
  [{ 'tag-key': ['drain'] }, [TWO]],
  [{ 'tag-key': ['yes'] }, []],
  [{ 'tag-key': ['dr*'] }, [TWO]],
  [{ 'tag-key': ['a\\*b', 'drain'] }, [ONE, TWO]],
  [{ 'instance-id': ['i-1b*'] }, [TWO]],
  [{ 'tag:drain': [''] }, []],
  [{ 'instance-state-name': ['running', 'pending'] }, [ONE]],
  [{ 'instance-id': [TWO, UNKNOWN] }, [TWO]],
  [{ 'instance-id': [TWO], 'instance-state-name': ['running'] }, []],
])('finds the instances that match every filter: %j', async ([filters, ids], { create, endpoint, find }) => {
  await create([TWO], DRAIN);
  endpoint.instances.get(ONE)?.tags.set(...ODD_TAG);
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

describe('Auto Scaling', () => {
  const GROUP = { 'aws:autoscaling:groupName': 'web & 1' };
  const WAITING = { AutoScalingGroupName: 'web & 1', LifecycleHookName: 'drain', LifecycleActionResult: 'CONTINUE' };
  const VALIDATION_ERROR = { name: 'ValidationError', $metadata: { httpStatusCode: 400 } };

  it('describes the instances of groups, each with its state', async ({ autoScaling, endpoint }) => {
    endpoint.instances.set(ONE, { tags: new Map(Object.entries(GROUP)), lifecycleState: 'Terminating:Wait' });
    endpoint.instances.set('i-00000003', { tags: new Map(Object.entries(GROUP)) });
    const InstanceIds = [ONE, TWO, UNKNOWN, 'i-00000003'];
    const { AutoScalingInstances } = await autoScaling.send(new DescribeAutoScalingInstancesCommand({ InstanceIds }));
    const inGroup = {
      AutoScalingGroupName: 'web & 1',
      AvailabilityZone: 'us-west-2a',
      HealthStatus: 'HEALTHY',
      ProtectedFromScaleIn: false,
    };
    expect(AutoScalingInstances).toEqual([
      { ...inGroup, InstanceId: ONE, LifecycleState: 'Terminating:Wait' },
      { ...inGroup, InstanceId: 'i-00000003', LifecycleState: 'InService' },
    ]);
  });

  it('describes at most 50 instances, and never all of them', async ({ autoScaling }) => {
    const describeMany = (length: number) =>
      autoScaling.send(new DescribeAutoScalingInstancesCommand({ InstanceIds: Array(length).fill(UNKNOWN) }));
    expect((await describeMany(50)).AutoScalingInstances).toEqual([]);
    await expect(describeMany(51)).rejects.toMatchObject({
      ...VALIDATION_ERROR,
      message: expect.stringContaining('limited to 50'),
    });
    await expect(describeMany(0)).rejects.toMatchObject(VALIDATION_ERROR);
  });

  it('ends the wait of an instance once', async ({ autoScaling, endpoint }) => {
    const instance: Instance = { tags: new Map(Object.entries(GROUP)), lifecycleState: 'Terminating:Wait' };
    endpoint.instances.set(ONE, instance);
    const complete = (changes: object) =>
      autoScaling.send(new CompleteLifecycleActionCommand({ ...WAITING, InstanceId: ONE, ...changes }));
    for (const changes of [
      { InstanceId: TWO },
      { InstanceId: UNKNOWN },
      { AutoScalingGroupName: 'another' },
      { LifecycleHookName: '' },
      { LifecycleActionResult: '' },
    ]) {
      await expect(complete(changes)).rejects.toMatchObject(VALIDATION_ERROR);
      expect(instance.lifecycleState).toBe('Terminating:Wait');
    }
    await complete({});
    expect(instance.lifecycleState).toBe('Terminating:Proceed');
    const message = `No active Lifecycle Action found with instance ID ${ONE}`;
    await expect(complete({})).rejects.toMatchObject({ ...VALIDATION_ERROR, message });
    expect(endpoint.calls.map(({ outcome }) => outcome)).toEqual([400, 400, 400, 400, 400, 200, 400]);
  });

  it.for(['InService', 'Terminating:Proceed', 'Warmed:Pending:Wait', undefined])(
    'does not end a wait in the state %s',
    async (lifecycleState, { autoScaling, endpoint }) => {
      endpoint.instances.set(ONE, { tags: new Map(Object.entries(GROUP)), ...(lifecycleState && { lifecycleState }) });
      const completing = autoScaling.send(new CompleteLifecycleActionCommand({ ...WAITING, InstanceId: ONE }));
      await expect(completing).rejects.toMatchObject(VALIDATION_ERROR);
    },
  );

  it('answers a fault in its own XML', async ({ autoScaling, endpoint }) => {
    endpoint.faults.push({ status: 403, code: 'AccessDenied' });
    const completing = autoScaling.send(new CompleteLifecycleActionCommand({ ...WAITING, InstanceId: ONE }));
    await expect(completing).rejects.toMatchObject({ name: 'AccessDenied', $metadata: { httpStatusCode: 403 } });
  });
});

it('answers an internal error of its own with the message', async ({ create, endpoint }) => {
  vi.spyOn(endpoint.instances, 'get').mockImplementation(() => {
    throw new RangeError('out of memory');
  });
  await expect(create([ONE], DRAIN)).rejects.toMatchObject({
    name: 'InternalError',
    message: 'RangeError: out of memory',
    $metadata: { httpStatusCode: 500 },
  });
  expect(endpoint.calls.map(({ outcome }) => outcome)).toEqual([500]);
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
