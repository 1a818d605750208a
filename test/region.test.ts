import type { EC2Client } from '@aws-sdk/client-ec2';
import { HttpRequest } from '@smithy/core/protocols';
import { expect, it } from 'vitest';
import { ec2 } from './helpers/ec2.ts';
import { event, withSns } from './helpers/event.ts';
import { coldStart, invoke } from './helpers/invoke.ts';

/** The regions of the clients that made the calls. */
async function regions() {
  return Promise.all(ec2.calls().map(({ thisValue }) => (thisValue as EC2Client).config.region()));
}

function fromTopic(TopicArn: unknown) {
  return withSns(event('terminating'), { TopicArn });
}

it("EC2 is called in the topic's region, with one client for each region", async () => {
  const call = await coldStart();
  const given = ['us-west-2', 'eu-west-1', 'us-gov-west-1', 'eusc-de-east-1', 'us-west-10', 'us-west-2', 'eu-west-1'];
  for (const region of given) {
    const { log } = await call(fromTopic(`arn:aws:sns:${region}:123456789012:remove-from-lb`));
    expect(log).toMatchObject([{ line: { outcome: 'tagged', region } }]);
  }
  expect(await regions()).toEqual(given);
  expect(new Set(ec2.calls().map(({ thisValue }) => thisValue)).size).toBe(5);
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
  ['arn:aws:sns:us-west-2:123456789012:remove-from-lb'],
])('a topic ARN without a region and an account is refused: %j', async (arn) => {
  const { log, error } = await invoke(fromTopic(arn));
  expect(ec2.calls()).toEqual([]);
  const actual = typeof arn === 'string' ? `"${arn}"` : 'an array of 1';
  const messageId = event('terminating').Records[0]?.Sns.MessageId;
  const message = `Sns.TopicArn is ${actual}; expected arn:partition:service:region:account:…`;
  expect(error).toMatchObject({ name: 'InvalidArnError', message });
  expect(log).toEqual([
    { level: 'error', line: { outcome: 'failed', messageId, reason: `InvalidArnError: ${message}` } },
  ]);
});

it('a client gives up a socket that does not connect or answer within a few seconds', async () => {
  await invoke(event('terminating'));
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
