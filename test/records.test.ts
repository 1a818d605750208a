import { CreateTagsCommand, EC2Client } from '@aws-sdk/client-ec2';
import { mockClient } from 'aws-sdk-client-mock';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { event, eventWith } from './helpers/event.ts';
import { coldStart, type Outcome } from './helpers/invoke.ts';

const ec2 = mockClient(EC2Client);

beforeEach(() => {
  ec2.reset();
  ec2.on(CreateTagsCommand).resolves({});
});
afterEach(() => {
  vi.useRealTimers();
});

function tagged() {
  return ec2.commandCalls(CreateTagsCommand).map(({ args: [command] }) => command.input.Resources?.[0]);
}

function outcomes({ log }: Outcome) {
  return log.map(({ line }) => line.outcome).sort();
}

/** One event with the records of several. */
function joined(...events: ReturnType<typeof event>[]) {
  return { Records: events.flatMap(({ Records }) => Records) };
}

describe('an event of several records', () => {
  it('has each of them handled, one call for each instance', async () => {
    const outcome = await (await coldStart())(event('two-records'));
    expect(outcome.error).toBeUndefined();
    expect(tagged().sort()).toEqual(['i-05629ab7d9287e205', 'i-0a1b2c3d4e5f60718']);
    expect(outcomes(outcome)).toEqual(['tagged', 'tagged']);
  });

  it.each([
    ['first', joined(event('not-json'), event('two-records'))],
    ['last', joined(event('two-records'), event('not-json'))],
  ])('has the good ones handled when the %s is bad, and throws what the bad one threw', async (_, mixed) => {
    const outcome = await (await coldStart())(mixed);
    expect(tagged().sort()).toEqual(['i-05629ab7d9287e205', 'i-0a1b2c3d4e5f60718']);
    expect(outcomes(outcome)).toEqual(['failed', 'tagged', 'tagged']);
    expect(outcome.error).toMatchObject({ name: 'InvalidMessageError' });
  });

  it('throws all errors together when several failed, each named in the message', async () => {
    const refusal = Object.assign(new Error('not allowed'), { name: 'UnauthorizedOperation' });
    ec2.on(CreateTagsCommand, { Resources: ['i-1b2c3d4e'] }).rejects(refusal);
    const mixed = joined(event('not-json'), event('terminating'), event('terminating-before-2021'));
    const outcome = await (await coldStart())(mixed);
    expect(outcomes(outcome)).toEqual(['failed', 'failed', 'tagged']);
    expect(outcome.error).toBeInstanceOf(AggregateError);
    const { errors, message } = outcome.error as AggregateError;
    expect(errors).toEqual([expect.objectContaining({ name: 'InvalidMessageError' }), refusal]);
    expect(message).toMatch(
      /^2 of 3 records failed: InvalidMessageError: Sns\.Message is .*; UnauthorizedOperation: not allowed$/,
    );
  });

  it('has no record waiting for another', async () => {
    let release = () => {};
    ec2
      .on(CreateTagsCommand, { Resources: ['i-05629ab7d9287e205'] })
      .callsFake(() => new Promise<void>((resolve) => (release = resolve)));
    ec2.on(CreateTagsCommand, { Resources: ['i-0a1b2c3d4e5f60718'] }).callsFake(async () => release());
    expect(outcomes(await (await coldStart())(event('two-records')))).toEqual(['tagged', 'tagged']);
  });
});

describe('an event that is none of SNS', () => {
  it.each([
    [null, 'absent'],
    [{}, 'absent'],
    [{ Records: 'none' }, '"none"'],
    [{ Records: [] }, 'an array of 0'],
    [{ key1: 'value1' }, 'absent'],
  ])('is refused: %j', async (odd, held) => {
    const { error } = await (await coldStart())(odd);
    expect(ec2.calls()).toEqual([]);
    expect(error).toMatchObject({
      name: 'InvalidEventError',
      message: `Records is ${held}; expected the records of an SNS event`,
    });
  });

  it.each([null, {}, { Sns: null }, { Sns: {} }, { body: '{}', eventSource: 'aws:sqs' }])(
    'has a record that is refused, and logged: %j',
    async (record) => {
      const outcome = await (await coldStart())({ Records: [record, ...event('terminating').Records] });
      expect(tagged()).toEqual(['i-05629ab7d9287e205']);
      expect(outcomes(outcome)).toEqual(['failed', 'tagged']);
      expect(outcome.error).toMatchObject({ name: 'InvalidArnError' });
    },
  );
});

describe('the log line', () => {
  const identity = {
    instanceId: 'i-05629ab7d9287e205',
    autoScalingGroupName: 'web',
    lifecycleHookName: 'drain',
    region: 'us-west-2',
    requestId: 'f02639a5-62b9-0772-d50e-09647ae07b49',
  };

  it('says what was done to which instance, for which group, hook, region and request, and nothing else', async () => {
    const { log } = await (await coldStart())(event('terminating'));
    expect(log).toEqual([{ level: 'info', line: { outcome: 'tagged', delayMs: expect.any(Number), ...identity } }]);
  });

  it('gives the milliseconds from the message to the tag', async () => {
    const now = Date.now();
    vi.setSystemTime(now);
    ec2.on(CreateTagsCommand).callsFake(() => void vi.setSystemTime(now + 20));
    const { log } = await (await coldStart())(eventWith('terminating', { Time: new Date(now - 5000).toISOString() }));
    expect(log[0]?.line.delayMs).toBe(5020);
  });

  it.each([undefined, 'yesterday', null])('leaves the delay out when the message has no time: %s', async (Time) => {
    const { log, error } = await (await coldStart())(eventWith('terminating', { Time }));
    expect(error).toBeUndefined();
    expect(log).toEqual([{ level: 'info', line: { outcome: 'tagged', ...identity } }]);
  });

  it('gives the reason of what was ignored', async () => {
    const { log } = await (await coldStart())(event('test-notification'));
    expect(log).toEqual([
      {
        level: 'info',
        line: {
          outcome: 'ignored',
          reason: 'test notification: a lifecycle hook was put',
          autoScalingGroupName: 'web',
          region: 'us-west-2',
          requestId: 'b36d6757-57c7-11e8-a9ca-b3409db76d91',
        },
      },
    ]);
  });

  it('gives the reason of what failed, beside all that is known of the message', async () => {
    ec2.on(CreateTagsCommand).rejects(Object.assign(new Error('too many tags'), { name: 'TagLimitExceeded' }));
    const { log } = await (await coldStart())(event('terminating'));
    expect(log).toEqual([
      { level: 'error', line: { outcome: 'failed', reason: 'TagLimitExceeded: too many tags', ...identity } },
    ]);
  });

  it('leaves out an instance id that is not text', async () => {
    const { log } = await (await coldStart())(eventWith('terminating', { EC2InstanceId: 5629 }));
    expect(log[0]?.line).not.toHaveProperty('instanceId');
  });

  it('leaves out what is no name: nothing, or longer than AWS allows', async () => {
    const odd = { AutoScalingGroupName: 'x'.repeat(256), LifecycleHookName: 'x'.repeat(255), RequestId: '' };
    const [{ line } = { line: {} }] = (await (await coldStart())(eventWith('terminating', odd))).log;
    expect(line).not.toHaveProperty('autoScalingGroupName');
    expect(line).toHaveProperty('lifecycleHookName');
    expect(line).not.toHaveProperty('requestId');
  });

  it('leaves out what is not text', async () => {
    const odd = { AutoScalingGroupName: 1, LifecycleHookName: {}, RequestId: ['x'] };
    const { log } = await (await coldStart())(eventWith('terminating', odd));
    const line = {
      outcome: 'tagged',
      delayMs: expect.any(Number),
      region: 'us-west-2',
      instanceId: 'i-05629ab7d9287e205',
    };
    expect(log).toEqual([{ level: 'info', line }]);
  });
});
