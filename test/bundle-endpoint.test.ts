import { readFile, writeFile } from 'node:fs/promises';
import https from 'node:https';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { CreateTagsCommand, EC2Client } from '@aws-sdk/client-ec2';
import type { Context, SNSEvent } from 'aws-lambda';
import { unzipSync } from 'fflate';
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import { bundle } from '../scripts/bundle.ts';
import { temporaryFolder } from '../scripts/temporary-folder.ts';

const require = createRequire(import.meta.url);
const TAG = new CreateTagsCommand({ Resources: ['i-05629ab7d9287e205'], Tags: [{ Key: 'key', Value: 'value' }] });
const folder = await temporaryFolder('bundle-endpoint-');
const index = join(folder.path, 'index.js');

beforeAll(async () => writeFile(index, unzipSync((await bundle()).zip)['index.js'] ?? ''));
afterAll(() => folder.remove());
afterEach(() => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
});

test.each([
  ['us-west-2', 'ec2.us-west-2.amazonaws.com'],
  ['eu-central-2', 'ec2.eu-central-2.amazonaws.com'],
  ['us-gov-west-1', 'ec2.us-gov-west-1.amazonaws.com'],
  ['cn-north-1', 'ec2.cn-north-1.amazonaws.com.cn'],
  ['us-iso-east-1', 'ec2.us-iso-east-1.c2s.ic.gov'],
])('the bundle calls EC2 of a topic in %s at %s', async (region, host) => {
  expect(await calledFor(region)).toMatchObject({ host, method: 'POST', path: '/' });
});

test.each([
  ['AWS_USE_FIPS_ENDPOINT', 'ec2-fips.us-west-2.amazonaws.com'],
  ['AWS_USE_DUALSTACK_ENDPOINT', 'ec2.us-west-2.api.aws'],
])('the bundle obeys %s', async (variable, host) => {
  expect(await calledFor('us-west-2', { [variable]: 'true' })).toMatchObject({ host });
});

test.each([
  ['AWS_ENDPOINT_URL', 'https://vpce-1.ec2.us-west-2.vpce.amazonaws.com:8443/'],
  ['AWS_ENDPOINT_URL_EC2', 'https://vpce-1.ec2.us-west-2.vpce.amazonaws.com:8443/'],
])('the bundle obeys %s', async (variable, url) => {
  const { hostname: host, port } = new URL(url);
  expect(await calledFor('us-west-2', { [variable]: url })).toMatchObject({ host, port: Number(port) });
});

test.each([
  ['https://ec2.example', 'https://any.example', 'ec2.example'],
  ['', 'https://any.example', 'any.example'],
  ['', '', 'ec2.us-west-2.amazonaws.com'],
])('the bundle goes by AWS_ENDPOINT_URL_EC2 "%s" before AWS_ENDPOINT_URL "%s"', async (forEc2, forAll, host) => {
  const environment = { AWS_ENDPOINT_URL_EC2: forEc2, AWS_ENDPOINT_URL: forAll };
  expect(await calledFor('us-west-2', environment)).toMatchObject({ host });
});

test.each(['AWS_USE_FIPS_ENDPOINT', 'AWS_USE_DUALSTACK_ENDPOINT'])(
  'the bundle takes %s for false when it is neither true nor false, as the SDK does',
  async (variable) => {
    const environment = { [variable]: 'maybe', AWS_CONFIG_FILE: '/dev/null', AWS_SHARED_CREDENTIALS_FILE: '/dev/null' };
    const called = await calledFor('us-west-2', environment);
    expect(called).toMatchObject({ host: 'ec2.us-west-2.amazonaws.com' });
    await new EC2Client({ region: 'us-west-2', maxAttempts: 1 }).send(TAG).catch(() => {});
    expect(vi.mocked(https.request).mock.lastCall?.[0]).toMatchObject({ host: 'ec2.us-west-2.amazonaws.com' });
  },
);

test("the bundle makes the client of the function's own region while it loads", async () => {
  const atLoad = { AWS_ENDPOINT_URL: 'https://at-load.example' };
  expect(await calledFor('us-west-2', atLoad, { AWS_ENDPOINT_URL: 'https://at-call.example' })).toMatchObject({
    host: 'at-load.example',
  });
});

test('the bundle says that the environment holds no credentials', async () => {
  await expect(calledFor('us-west-2', { AWS_SECRET_ACCESS_KEY: '' })).rejects.toThrow(
    'Unable to find environment variable credentials',
  );
});

/**
 * What the bundle asks node:https for, freshly loaded, on a terminating message from a topic in the region.
 * @param later what the environment is changed to between load and call.
 */
async function calledFor(region: string, environment = {}, later = {}): Promise<unknown> {
  const lambda = {
    AWS_REGION: region,
    AWS_ACCESS_KEY_ID: 'key',
    AWS_SECRET_ACCESS_KEY: 'secret',
    AWS_ENDPOINT_URL: '',
  };
  stubEnvironment({ ...lambda, ...environment });
  vi.spyOn(console, 'error').mockImplementation(() => {});
  const request = vi.spyOn(https, 'request').mockImplementation(() => {
    throw new Error('no further than this');
  });
  delete require.cache[index];
  const { handler } = require(index) as typeof import('../src/handler.ts');
  stubEnvironment(later);
  const context = {
    invokedFunctionArn: `arn:aws:lambda:${region}:123456789012:function:remove-from-lb`,
    getRemainingTimeInMillis: () => 10_000,
  };
  const text = await readFile(new URL('events/terminating.json', import.meta.url), 'utf8');
  const event: SNSEvent = JSON.parse(text.replaceAll('us-west-2', region));
  await handler(event, context as Context).catch((error: Error) => {
    if (error.message !== 'no further than this') throw error;
  });
  return request.mock.lastCall?.[0];
}

function stubEnvironment(environment: Record<string, string>): void {
  for (const [name, value] of Object.entries(environment)) vi.stubEnv(name, value);
}
