import { expect, it } from 'vitest';
import { DEFAULT_TAG } from '../src/settings.ts';
import { calls, ec2 } from './helpers/ec2.ts';
import { event, publishedAt } from './helpers/event.ts';
import { coldStart } from './helpers/invoke.ts';

const { key, value } = DEFAULT_TAG;

it.each([
  [{}, { Key: key, Value: value }],
  [{ TAG_KEY: 'drain' }, { Key: 'drain', Value: value }],
  [{ TAG_VALUE: 'true' }, { Key: key, Value: 'true' }],
  [
    { TAG_KEY: 'k'.repeat(128), TAG_VALUE: 'v'.repeat(256) },
    { Key: 'k'.repeat(128), Value: 'v'.repeat(256) },
  ],
  // EC2 counts characters. This character has two UTF-16 units.
  [{ TAG_KEY: '🏷'.repeat(128) }, { Key: '🏷'.repeat(128), Value: value }],
  [{ TAG_KEY: 'our:aws:drain' }, { Key: 'our:aws:drain', Value: value }],
  [
    { TAG_KEY: 'd', TAG_VALUE: '1' },
    { Key: 'd', Value: '1' },
  ],
  [{ TAG_KEY: 'aws' }, { Key: 'aws', Value: value }],
])('the settings decide the tag: %j', async (environment: Record<string, string>, tag) => {
  await (await coldStart(environment))(event('terminating'));
  expect(calls()).toMatchObject([{ input: { Tags: [tag] } }]);
});

it.each([
  ['TAG_KEY', '', '""; expected 1 to 128 characters'],
  ['TAG_VALUE', '', '""; expected 1 to 256 characters'],
  ['TAG_KEY', 'k'.repeat(129), `"${'k'.repeat(64)}"… (129 characters); expected 1 to 128 characters`],
  ['TAG_VALUE', 'v'.repeat(257), `"${'v'.repeat(64)}"… (257 characters); expected 1 to 256 characters`],
  ['TAG_KEY', 'aws:drain', '"aws:drain"; expected a key without the prefix aws:, which is reserved'],
  ['TAG_KEY', 'AWS:drain', '"AWS:drain"; expected a key without the prefix aws:, which is reserved'],
  ...['', '29', '172801', '300 s', ' 300', '3e2', '-300', '60.5'].map((text): [string, string, string] => [
    'HEARTBEAT_TIMEOUT',
    text,
    `"${text}"; expected 30 to 172800 seconds, in digits`,
  ]),
])('the function does not start with %s=%s', async (variable, text, complaint) => {
  const message = `${variable} is ${complaint}`;
  await expect(coldStart({ [variable]: text })).rejects.toMatchObject({ name: 'InvalidSettingError', message });
});

it.each(['30', '172800'])('HEARTBEAT_TIMEOUT may be %s seconds', async (seconds) => {
  const timestamp = new Date(Date.now() - Number(seconds) * 1000 + 10_000).toISOString();
  await (await coldStart({ HEARTBEAT_TIMEOUT: seconds }))(publishedAt(event('terminating'), timestamp));
  expect(ec2.calls()).toHaveLength(1);
});
