import { CreateTagsCommand, EC2Client } from '@aws-sdk/client-ec2';
import { HttpRequest } from '@smithy/core/protocols';
import { mockClient } from 'aws-sdk-client-mock';
import { beforeEach, describe, expect, it } from 'vitest';
import { event, publishedAt } from './helpers/event.ts';
import { coldStart } from './helpers/invoke.ts';

const ec2 = mockClient(EC2Client);

beforeEach(() => {
  ec2.reset();
  ec2.on(CreateTagsCommand).resolves({});
});

describe('the settings', () => {
  it.each([
    [{ TAG_KEY: 'drain' }, { Key: 'drain', Value: 'yes' }],
    [{ TAG_VALUE: 'true' }, { Key: 'remove_from_lb', Value: 'true' }],
    [
      { TAG_KEY: 'k'.repeat(128), TAG_VALUE: 'v'.repeat(256) },
      { Key: 'k'.repeat(128), Value: 'v'.repeat(256) },
    ],
    // EC2 counts characters, and each of these is one, of two UTF-16 units.
    [{ TAG_KEY: '🏷'.repeat(128) }, { Key: '🏷'.repeat(128), Value: 'yes' }],
    [{ TAG_KEY: 'our:aws:drain' }, { Key: 'our:aws:drain', Value: 'yes' }],
    [
      { TAG_KEY: 'd', TAG_VALUE: '1' },
      { Key: 'd', Value: '1' },
    ],
    [{ TAG_KEY: 'aws' }, { Key: 'aws', Value: 'yes' }],
  ])('decide the tag: %j', async (environment: Record<string, string>, tag) => {
    await (await coldStart(environment))(event('terminating'));
    expect(ec2.commandCalls(CreateTagsCommand).map(({ args: [{ input }] }) => input.Tags)).toEqual([[tag]]);
  });

  it.each([
    [{ TAG_KEY: '' }, 'TAG_KEY is ""; expected 1 to 128 characters'],
    [{ TAG_VALUE: '' }, 'TAG_VALUE is ""; expected 1 to 256 characters'],
    [{ TAG_KEY: 'k'.repeat(129) }, /^TAG_KEY is "k{64}"… \(129 characters\); expected 1 to 128 characters$/],
    [{ TAG_VALUE: 'v'.repeat(257) }, /^TAG_VALUE is "v{64}"… \(257 characters\); expected 1 to 256 characters$/],
    [{ TAG_KEY: 'aws:drain' }, 'TAG_KEY is "aws:drain"; expected a key without the prefix aws:, which is reserved'],
    ...['', '29', '172801', '300 s', ' 300', '3e2', '-300', '60.5'].map((text): [Record<string, string>, string] => [
      { HEARTBEAT_TIMEOUT: text },
      `HEARTBEAT_TIMEOUT is "${text}"; expected 30 to 172800 seconds, in digits`,
    ]),
    [{ TAG_KEY: 'AWS:drain' }, 'TAG_KEY is "AWS:drain"; expected a key without the prefix aws:, which is reserved'],
  ] as [Record<string, string>, string | RegExp][])(
    'fail at start-up, naming the variable and the rule: %j',
    async (environment, message) => {
      const start = coldStart(environment);
      await expect(start).rejects.toThrow(message);
      await expect(start).rejects.toMatchObject({ name: 'InvalidSettingError' });
    },
  );
});

it.each(['30', '172800'])('HEARTBEAT_TIMEOUT may be %s seconds', async (seconds) => {
  const timestamp = new Date(Date.now() - Number(seconds) * 1000 + 10_000).toISOString();
  await (await coldStart({ HEARTBEAT_TIMEOUT: seconds }))(publishedAt(event('terminating'), timestamp));
  expect(ec2.commandCalls(CreateTagsCommand)).toHaveLength(1);
});

it('each call gives up a socket that does not connect or answer within a few seconds', async () => {
  await (await coldStart())(event('terminating'));
  const requestHandler = (ec2.call(0).thisValue as EC2Client).config.requestHandler as unknown as {
    handle(request: HttpRequest): Promise<unknown>;
    httpHandlerConfigs(): unknown;
  };
  // The handler reads its own settings with its first request.
  await requestHandler.handle(new HttpRequest({ hostname: '127.0.0.1', port: 1, protocol: 'http:' })).catch(() => {});
  const fewSeconds = expect.toSatisfy((ms) => ms >= 1000 && ms <= 5000, 'a few seconds');
  expect(requestHandler.httpHandlerConfigs()).toMatchObject({
    connectionTimeout: fewSeconds,
    requestTimeout: fewSeconds,
    socketTimeout: fewSeconds,
    throwOnRequestTimeout: true,
  });
});

describe('the region', () => {
  /** The client that each call went through, as `region`. */
  async function regions() {
    return Promise.all(ec2.calls().map(({ thisValue }) => (thisValue as EC2Client).config.region()));
  }

  function from(topicArn: unknown) {
    const terminating = event('terminating');
    return {
      Records: terminating.Records.map((record) => ({
        ...record,
        Sns: { ...record.Sns, TopicArn: topicArn as string },
      })),
    };
  }

  it.each(['eu-central-1', 'us-gov-west-1', 'cn-northwest-1', 'us-iso-east-1', 'eusc-de-east-1', 'us-west-10'])(
    "is the topic's, wherever the function runs: %s",
    async (region) => {
      const { log } = await (await coldStart())(from(`arn:aws:sns:${region}:123456789012:remove-from-lb`));
      expect(await regions()).toEqual([region]);
      expect(log).toMatchObject([{ line: { outcome: 'tagged', region } }]);
    },
  );

  it('has one client, made once and kept', async () => {
    const invoke = await coldStart();
    for (const region of ['us-west-2', 'eu-west-1', 'us-west-2', 'eu-west-1']) {
      await invoke(from(`arn:aws:sns:${region}:123456789012:remove-from-lb`));
    }
    const [west, eu, westAgain, euAgain] = ec2.calls().map(({ thisValue }) => thisValue);
    expect(await regions()).toEqual(['us-west-2', 'eu-west-1', 'us-west-2', 'eu-west-1']);
    expect(westAgain).toBe(west);
    expect(euAgain).toBe(eu);
  });

  it('is refused when the ARN is not a text', async () => {
    const { error } = await (await coldStart())(from(['arn:aws:sns:us-west-2:123456789012:remove-from-lb']));
    expect(ec2.calls()).toEqual([]);
    expect(error).toMatchObject({ name: 'InvalidArnError', message: expect.stringContaining('is an array of 1;') });
  });

  it.each([
    '',
    'remove-from-lb',
    'arn:aws:sns::123456789012:remove-from-lb',
    'arn:aws:sns:us-west-2::remove-from-lb',
    'arn:aws:sns:us-west-2:12345678901:remove-from-lb',
    'arn:aws:sns:us-west-2:123456789012',
    'arn:aws:sns:evil.example.com/:123456789012:remove-from-lb',
    'arn:aws:sns:us-west-2.example.com:123456789012:remove-from-lb',
    'x arn:aws:sns:us-west-2:123456789012:remove-from-lb',
  ])('is refused when the topic has none: %j', async (arn) => {
    const { log, error } = await (await coldStart())(from(arn));
    expect(ec2.calls()).toEqual([]);
    expect(error).toMatchObject({
      name: 'InvalidArnError',
      message: `Sns.TopicArn is ${JSON.stringify(arn)}; expected arn:partition:service:region:account:…`,
    });
    expect(log).toMatchObject([{ level: 'error', line: { outcome: 'failed' } }]);
  });
});
