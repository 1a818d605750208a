import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { startEc2Endpoint } from '../scripts/aws/ec2-endpoint.ts';

const folder = mkdtempSync(join(tmpdir(), 'start-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** Runs `npm start`, with no AWS account in its environment but what is given. */
async function start(files: string[], environment: Record<string, string> = {}) {
  const child = spawn(process.execPath, ['scripts/start.ts', ...files], {
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
});
