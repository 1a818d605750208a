import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { startEc2Endpoint } from '../scripts/aws/ec2-endpoint.ts';
import { SETTING_NAMES } from '../src/settings.ts';
import { event } from './event.ts';

const folder = mkdtempSync(join(tmpdir(), 'start-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** Starts `npm start`, with no AWS account in its environment but what is given. */
function spawnStart(files: string[], environment: Record<string, string>) {
  return spawn(process.execPath, ['scripts/start.ts', ...files], {
    cwd: fileURLToPath(new URL('..', import.meta.url)),
    env: {
      ...process.env,
      HOME: folder,
      NO_COLOR: '1',
      AWS_EC2_METADATA_DISABLED: 'true',
      ...environment,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

async function start(files: string[], environment: Record<string, string> = {}) {
  const child = spawnStart(files, environment);
  const [out, err, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')]);
  return { out, err, code };
}

function write(name: string, content: string) {
  const file = join(folder, name);
  writeFileSync(file, content);
  return file;
}

const KEYS = { AWS_ACCESS_KEY_ID: 'AKIAENVIRONMENT', AWS_SECRET_ACCESS_KEY: 'secret' };

describe('npm start', () => {
  it('shows the sample message, the tags before and after, the log and the time', async () => {
    const { out, err, code } = await start([]);
    expect({ err, code }).toEqual({ err: '', code: 0 });
    expect(out).toMatch(
      /^function {2}as npm run bundle zips it, \d+ bytes\nEC2 {7}http:\/\/127\.0\.0\.1:\d+, the project's own endpoint/,
    );
    expect(out).toMatch(
      /\n {2}message autoscaling:EC2_INSTANCE_TERMINATING {2}i-05629ab7d9287e205 {2}group web {2}AutoScalingGroup → EC2/,
    );
    expect(out).toMatch(/\n {2}before {2}i-05629ab7d9287e205 {2}aws:autoscaling:groupName=web\n/);
    expect(out).toMatch(/\n {2}logged {2}INFO \{"outcome":"tagged",/);
    expect(out).toMatch(
      /\n {2}after {3}i-05629ab7d9287e205 {2}aws:autoscaling:groupName=web {2}remove_from_lb=yes\n {2}took {4}\d+ ms\n$/,
    );
  });

  it('takes several files, and ends badly when the function refuses one', async () => {
    const names = ['launching-from-warm-pool', 'not-json', 'two-records', 'test-notification'];
    const { out, code } = await start(names.map((name) => `test/events/${name}.json`));
    expect(code).toBe(1);
    expect(out.match(/^test\/events\/.*$/gm)).toEqual(names.map((name) => `test/events/${name}.json`));
    expect(out).toContain('before  i-05629ab7d9287e205  aws:autoscaling:groupName=web  remove_from_lb=yes\n');
    expect(out).toContain('failed  InvalidMessageError: Sns.Message is "ALARM:');
    expect(out).toContain('i-0a1b2c3d4e5f60718  aws:autoscaling:groupName=web  remove_from_lb=yes\n');
    expect(out).toContain('after   no instance named\n');
  });

  it('hands the settings on to the function', async () => {
    const { out } = await start([], { TAG_KEY: 'drain', TAG_VALUE: 'now' });
    expect(out).toContain('aws:autoscaling:groupName=web  drain=now\n');
  });

  it('lets the function refuse a message that is older than HEARTBEAT_TIMEOUT', async () => {
    const { out, code } = await start([], { HEARTBEAT_TIMEOUT: '300' });
    expect(out).toMatch(
      /failed {2}StaleMessageError: Sns\.Timestamp is "2024-.*"; expected a message of at most 300 s \(HEARTBEAT_TIMEOUT\)/,
    );
    expect(code).toBe(1);
  });

  it('names its files and every setting when it is asked for help, and runs nothing', async () => {
    const { out, err, code } = await start(['--help']);
    expect({ err, code }).toEqual({ err: '', code: 0 });
    expect(out).toMatch(/^npm start \[-- FILE…\]\n/);
    for (const name of ['AWS_ENDPOINT_URL', 'AWS_PROFILE', ...SETTING_NAMES]) expect(out).toContain(name);
    expect(out).not.toContain('function  as npm run bundle zips it');
  });

  it('refuses an option that it does not have', async () => {
    const { out, err, code } = await start(['--dry-run']);
    expect({ out, code }).toEqual({ out: '', code: 1 });
    expect(err).toMatch(/^npm start: Unknown option '--dry-run'/);
  });

  it('takes a file that begins with a byte-order mark', async () => {
    const file = write('marked.json', `\uFEFF${JSON.stringify(event('terminating'))}`);
    const { out, code } = await start([file]);
    expect(out).toMatch(/after .* remove_from_lb=yes\n/);
    expect(code).toBe(0);
  });

  it.each([
    ['missing.json', undefined, /missing\.json: cannot be read \(ENOENT\); expected a file that holds an SNS event/],
    ['broken.json', '{', /broken\.json: is not JSON \(.*\); expected an SNS event/],
    ['null.json', 'null', /null\.json: is no SNS event; expected \{"Records": /],
    ['message.json', '{"LifecycleTransition":"x"}', /message\.json: is no SNS event/],
    ['empty.json', '{"Records":[]}', /empty\.json: is no SNS event/],
    ['sqs.json', '{"Records":[{"body":"{}"}]}', /sqs\.json: is no SNS event/],
    ['topic.json', '{"Records":[{"Sns":{"Message":"{}"}}]}', /topic\.json: Sns\.TopicArn is absent; expected arn:/],
  ])('says what is wrong with a file, and fails: %s', async (name, content, message) => {
    const file = content === undefined ? join(folder, name) : write(name, content);
    const { err, code } = await start([file]);
    expect(err).toMatch(message);
    expect(err).toMatch(/^npm start: /);
    expect(code).toBe(1);
  });

  it('runs no file when one of them is wrong', async () => {
    const noTopic = write('no-topic.json', '{"Records":[{"Sns":{"Message":"{}"}}]}');
    for (const wrong of [join(folder, 'missing.json'), noTopic]) {
      const { out, code } = await start(['test/events/terminating.json', wrong]);
      expect({ out, code }).toEqual({ out: '', code: 1 });
    }
  });

  it('lets the function itself refuse an odd instance id, and makes up no group', async () => {
    const message = JSON.stringify({
      LifecycleTransition: 'autoscaling:EC2_INSTANCE_TERMINATING',
      EC2InstanceId: '<i&',
    });
    const TopicArn = 'arn:aws:sns:us-west-2:123456789012:topic';
    const { out, code } = await start([
      write('odd.json', JSON.stringify({ Records: [{ Sns: { TopicArn, Message: message } }] })),
    ]);
    expect(out).toContain('before  <i&  no tags\n');
    expect(out).toContain('failed  InvalidMessageError: EC2InstanceId is "<i&"');
    expect(code).toBe(1);
  });
});

describe('npm start with AWS_ENDPOINT_URL', () => {
  const INSTANCE = 'i-05629ab7d9287e205';

  async function against(environment: Record<string, string>) {
    const endpoint = await startEc2Endpoint();
    endpoint.instances.set(INSTANCE, { tags: new Map([['Name', 'theirs']]) });
    try {
      const result = await start([], { AWS_ENDPOINT_URL: endpoint.url, ...environment });
      return { ...result, endpoint, tags: Object.fromEntries(endpoint.instances.get(INSTANCE)?.tags ?? []) };
    } finally {
      await endpoint.close();
    }
  }

  it('goes there, and puts no instance of its own anywhere', async () => {
    const { out, code, endpoint, tags } = await against(KEYS);
    expect(code).toBe(0);
    expect(out).toContain(`EC2       ${endpoint.url}, from AWS_ENDPOINT_URL\n`);
    expect(out).toContain(`after   ${INSTANCE}  Name=theirs  remove_from_lb=yes\n`);
    expect(tags).toEqual({ Name: 'theirs', remove_from_lb: 'yes' });
    expect(endpoint.calls).toMatchObject([
      { action: 'DescribeTags', accessKeyId: 'AKIAENVIRONMENT' },
      { action: 'CreateTags', accessKeyId: 'AKIAENVIRONMENT' },
      { action: 'DescribeTags', accessKeyId: 'AKIAENVIRONMENT' },
    ]);
  });

  it('finds its credentials in a profile', async () => {
    const credentials = write(
      'credentials',
      '[staging]\naws_access_key_id = AKIAPROFILE\naws_secret_access_key = secret\naws_session_token = temporary\n',
    );
    const { code, endpoint } = await against({ AWS_PROFILE: 'staging', AWS_SHARED_CREDENTIALS_FILE: credentials });
    expect(code).toBe(0);
    expect(endpoint.calls.map(({ sessionToken }) => sessionToken)).toEqual(['temporary', 'temporary', 'temporary']);
    expect(endpoint.calls.map(({ accessKeyId }) => accessKeyId)).toEqual(['AKIAPROFILE', 'AKIAPROFILE', 'AKIAPROFILE']);
  });

  it('uses that endpoint as it is, whatever is set for those of AWS', async () => {
    expect(await against({ ...KEYS, AWS_USE_FIPS_ENDPOINT: 'true' })).toMatchObject({ code: 0 });
  });

  it('takes an empty one for none, and refuses one that is no URL', async () => {
    const { out } = await start([], { AWS_ENDPOINT_URL: '' });
    expect(out).toContain("the project's own endpoint");
    const { err, code } = await start([], { AWS_ENDPOINT_URL: 'localhost:5000', ...KEYS });
    expect(err).toContain('AWS_ENDPOINT_URL is "localhost:5000"; expected http://… or https://…');
    expect(code).toBe(1);
  });

  it('says what it needs when there are no credentials', async () => {
    const { err, code, tags } = await against({});
    expect(err).toMatch(/needs AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY/);
    expect({ code, tags }).toEqual({ code: 1, tags: { Name: 'theirs' } });
  });

  it('says that a profile is not there, or why it fails', async () => {
    const config = write('config', '[profile broken]\ncredential_process = false\n');
    const { err, code, tags } = await against({ AWS_PROFILE: 'stagign', AWS_CONFIG_FILE: config });
    expect(err).toBe(
      'npm start: AWS_PROFILE is "stagign"; expected a profile that is there: aws configure list-profiles names them\n',
    );
    expect({ code, tags }).toEqual({ code: 1, tags: { Name: 'theirs' } });
    const broken = await against({ AWS_PROFILE: 'broken', AWS_CONFIG_FILE: config });
    expect(broken.err).toMatch(/^npm start: AWS_PROFILE is "broken", which fails: /);
  });

  it("shows EC2's own error", async () => {
    const endpoint = await startEc2Endpoint();
    endpoint.lastingFault = { status: 401, code: 'AuthFailure' };
    const { err, code } = await start([], { AWS_ENDPOINT_URL: endpoint.url, ...KEYS });
    await endpoint.close();
    expect(err).toContain(`npm start: ${endpoint.url} answers with HTTP status 401 and EC2's error AuthFailure: `);
    expect(code).toBe(1);
  });

  async function server(listener: RequestListener) {
    const http = createServer(listener);
    await once(http.listen(0, '127.0.0.1'), 'listening');
    return {
      url: `http://127.0.0.1:${(http.address() as AddressInfo).port}`,
      close: () => http.close().closeAllConnections(),
    };
  }

  it.each([
    [403, ''],
    [502, ''],
    [404, '<!doctype html><html><head><meta charset=utf-8></head><body>Not found<br></body></html>'],
    [403, '<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>'],
    [200, '<!doctype html><html><body>Welcome</body></html>'],
  ])('says that it is not EC2 that answers: %i %s', async (status, body) => {
    const { url, close } = await server((_, response) => response.writeHead(status).end(body));
    const { err, code } = await start([], { AWS_ENDPOINT_URL: url, ...KEYS });
    close();
    expect(err).toBe(
      `npm start: ${url} answers with HTTP status ${status} and nothing that EC2 would say: this is not EC2\n`,
    );
    expect(code).toBe(1);
  });

  it.each([
    ['does not answer', () => {}],
    ['begins an answer and does not go on', (_, response) => void response.writeHead(200).write('<')],
  ] satisfies [string, RequestListener][])('gives up on an endpoint that %s', async (_, listener) => {
    const { url, close } = await server(listener);
    const { err, code } = await start([], { AWS_ENDPOINT_URL: url, ...KEYS });
    close();
    expect(err).toBe(`npm start: ${url} does not answer within 10 s: this is not EC2, or it hangs\n`);
    expect(code).toBe(1);
  });

  it('says that nobody listens', async () => {
    const { url, close } = await server(() => {});
    close();
    const { err, code } = await start([], { AWS_ENDPOINT_URL: url, ...KEYS });
    expect({ err, code }).toEqual({ err: `npm start: ${url} cannot be reached: ECONNREFUSED\n`, code: 1 });
  });

  it('leaves nothing in the temporary folder when it is interrupted', async () => {
    const temporary = join(folder, 'temporary');
    mkdirSync(temporary);
    const endpoint = await startEc2Endpoint();
    // The second call is the function's.
    endpoint.faults.push({ status: 200, html: DESCRIBED }, 'hang');
    const child = spawnStart([], { AWS_ENDPOINT_URL: endpoint.url, ...KEYS, TMPDIR: temporary });
    const entries = () => readdirSync(temporary).filter((name) => name.startsWith('remove-from-lb-'));
    while (endpoint.calls.length < 2) await sleep(10);
    expect(entries()).toHaveLength(1);
    child.kill('SIGINT');
    const [, signal] = await once(child, 'exit');
    while (entries().length > 0) await sleep(10);
    await endpoint.close();
    expect(signal).toBe('SIGINT');
  });
});

const DESCRIBED =
  '<DescribeTagsResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><tagSet/></DescribeTagsResponse>';
