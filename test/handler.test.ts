import { CreateTagsCommand } from '@aws-sdk/client-ec2';
import { describe, expect, it } from 'vitest';
import { ec2, ec2Error } from './helpers/ec2.ts';
import { event, eventWith, joined, messageOf } from './helpers/event.ts';
import { invoke, type Outcome } from './helpers/invoke.ts';

function tagged() {
  return ec2.commandCalls(CreateTagsCommand).flatMap(({ args: [{ input }] }) => input.Resources ?? []);
}

function outcomes({ log }: Outcome) {
  return log.map(({ line }) => line.outcome).sort();
}

describe('an event of several records', () => {
  it.each([
    ['first', joined(event('not-json'), event('two-records'))],
    ['last', joined(event('two-records'), event('not-json'))],
  ])('is handled except for the bad %s record, whose error is thrown', async (_, mixed) => {
    const outcome = await invoke(mixed);
    expect(tagged().sort()).toEqual(['i-05629ab7d9287e205', 'i-0a1b2c3d4e5f60718']);
    expect(outcomes(outcome)).toEqual(['failed', 'tagged', 'tagged']);
    expect(outcome.error).toMatchObject({ name: 'InvalidMessageError' });
  });

  it('throws the errors of several records together, each named in the message', async () => {
    const refusal = ec2Error('UnauthorizedOperation');
    ec2.on(CreateTagsCommand, { Resources: ['i-1b2c3d4e'] }).rejects(refusal);
    const outcome = await invoke(joined(event('not-json'), event('terminating'), event('terminating-before-2021')));
    expect(outcomes(outcome)).toEqual(['failed', 'failed', 'tagged']);
    const { errors, message } = outcome.error as AggregateError;
    expect(errors).toEqual([expect.objectContaining({ name: 'InvalidMessageError' }), refusal]);
    expect(message).toMatch(
      /^2 of 3 records failed: InvalidMessageError: Sns\.Message is .*; UnauthorizedOperation: UnauthorizedOperation!$/,
    );
  });

  it('is handled at once: no record waits for another', async () => {
    let release = () => {};
    ec2
      .on(CreateTagsCommand, { Resources: ['i-05629ab7d9287e205'] })
      .callsFake(() => new Promise<void>((resolve) => (release = resolve)));
    ec2.on(CreateTagsCommand, { Resources: ['i-0a1b2c3d4e5f60718'] }).callsFake(async () => release());
    const outcome = await invoke(event('two-records'));
    expect(outcome.error).toBeUndefined();
    expect(outcomes(outcome)).toEqual(['tagged', 'tagged']);
  });
});

describe('an event that is not from SNS', () => {
  it.each([
    [null, 'absent'],
    [{}, 'absent'],
    [{ Records: 'none' }, '"none"'],
    [{ Records: [] }, 'an array of 0'],
    // A hook that calls the function without SNS, and an EventBridge rule.
    [messageOf(event('terminating')), 'absent'],
    [messageOf(event('eventbridge-in-sns')), 'absent'],
  ])('is refused and logged: %j', async (odd, actual) => {
    const { log, error } = await invoke(odd);
    const message = `Records is ${actual}; expected the records of an SNS event`;
    expect(error).toMatchObject({ name: 'InvalidEventError', message });
    expect(log).toEqual([{ level: 'error', line: { outcome: 'failed', reason: `InvalidEventError: ${message}` } }]);
  });

  it.each([null, { Sns: null }, { body: '{}', eventSource: 'aws:sqs' }])(
    'has a record that is refused and logged: %j',
    async (record) => {
      const outcome = await invoke({ Records: [record, ...event('terminating').Records] });
      expect(tagged()).toEqual(['i-05629ab7d9287e205']);
      expect(outcomes(outcome)).toEqual(['failed', 'tagged']);
      expect(outcome.error).toMatchObject({ name: 'InvalidArnError' });
    },
  );
});

describe('a message from another account', () => {
  it.each([
    ['210987654321', '"210987654321"'],
    [123456789012, 'the number 123456789012'],
    [undefined, 'absent'],
  ])('is refused: %s', async (AccountId, actual) => {
    for (const name of ['terminating', 'launching-from-warm-pool']) {
      const { log, error } = await invoke(eventWith(name, { AccountId }));
      expect(ec2.calls()).toEqual([]);
      expect(error).toMatchObject({
        name: 'ForeignAccountError',
        message: `AccountId is ${actual}; expected the function's own account, 123456789012`,
      });
      expect(log).toMatchObject([{ level: 'error', line: { outcome: 'failed', instanceId: 'i-05629ab7d9287e205' } }]);
    }
  });

  it('is judged by the account in which the function runs', async () => {
    const arn = 'arn:aws-us-gov:lambda:us-gov-west-1:210987654321:function:remove-from-lb:live';
    expect(await invoke(event('foreign-account'), { arn })).toMatchObject({ error: undefined });
    expect(await invoke(event('terminating'), { arn })).toMatchObject({ error: { name: 'ForeignAccountError' } });
  });

  it('cannot be recognised when the own account is unknown, so the function changes nothing', async () => {
    const { error } = await invoke(event('terminating'), { arn: 'remove-from-lb' });
    expect(ec2.calls()).toEqual([]);
    const message = expect.stringContaining('context.invokedFunctionArn is "remove-from-lb"');
    expect(error).toMatchObject({ name: 'InvalidArnError', message });
  });
});
