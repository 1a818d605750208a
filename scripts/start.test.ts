import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { describe, expect, it as test, vi } from 'vitest';
import { DEFAULT_TAG } from '../src/settings.ts';
import { event, eventWith } from '../test/helpers/event.ts';
import { fakeTerminal } from '../test/helpers/terminal.ts';
import { bundle } from './bundle.ts';
import { type Fault, startEc2Endpoint } from './local-aws/ec2-endpoint.ts';
import { main } from './start.ts';
import { temporaryFolder } from './temporary-folder.ts';

const PROJECT = fileURLToPath(new URL('..', import.meta.url));
const INSTANCE = 'i-05629ab7d9287e205';
const TAG = `${DEFAULT_TAG.key}=${DEFAULT_TAG.value}`;
const KEYS = { AWS_ACCESS_KEY_ID: 'AKIAENVIRONMENT', AWS_SECRET_ACCESS_KEY: 'secret' };
const bundled = await bundle();

const it = test
  .extend('folder', async ({ onTestFinished }) => {
    const folder = await temporaryFolder('start-');
    onTestFinished(folder.remove);
    return folder.path;
  })
  .extend('write', ({ folder }) => (name: string, content: unknown) => {
    const file = join(folder, name);
    writeFileSync(file, typeof content === 'string' ? content : JSON.stringify(content));
    return file;
  })
  .extend('endpoint', async ({ onTestFinished }) => {
    const endpoint = await startEc2Endpoint();
    onTestFinished(endpoint.close);
    endpoint.instances.set(INSTANCE, { tags: new Map() });
    return endpoint;
  });

/** Hides the user's own AWS account. */
function isolated(environment: Record<string, string>) {
  return { HOME: '/nonexistent', AWS_EC2_METADATA_DISABLED: 'true', INIT_CWD: PROJECT, ...environment };
}

/** Runs the command in this process. The SDK looks for credentials in the environment of the process. */
async function start(files: string[], environment: Record<string, string> = {}, signal?: AbortSignal) {
  vi.unstubAllEnvs();
  for (const [name, value] of Object.entries(isolated(environment))) vi.stubEnv(name, value);
  const { terminal, printed } = fakeTerminal(signal);
  const code = await main(files, process.env, terminal, async () => bundled).catch((error: Error) => error.message);
  return { ...printed, code };
}

describe('npm start', () => {
  it('shows the sample message, the tags before and after, and the log', async () => {
    const { out, err, code } = await start([]);
    expect({ err, code }).toEqual({ err: '', code: 0 });
    const [head, run = ''] = out.split('\n\n');
    expect(head).toMatch(
      /^function {2}bundled as by npm run bundle, \d+ bytes\nEC2 {7}http:\/\/127\.0\.0\.1:\d+, in memory$/,
    );
    expect(run.replace(/\{.*\}/, (json) => JSON.parse(json).outcome).split('\n')).toEqual([
      'test/events/terminating.json',
      `  message  autoscaling:EC2_INSTANCE_TERMINATING  ${INSTANCE}  group web  AutoScalingGroup → EC2`,
      `  before   ${INSTANCE}  aws:autoscaling:groupName=web`,
      '  log      INFO tagged',
      `  after    ${INSTANCE}  aws:autoscaling:groupName=web  ${TAG}`,
      '',
    ]);
  });

  it('runs several files, and fails when the function refuses one of them', async () => {
    const files = ['launching-from-warm-pool', 'launching-new', 'not-json', 'two-records', 'test-notification'].map(
      (name) => `test/events/${name}.json`,
    );
    const { out, code } = await start(files);
    expect(code).toBe(1);
    expect(out.match(/^test\/events\/.*$/gm)).toEqual(files);
    const [, returning, launching, notJson, two, notification] = out.split('\n\n');
    expect(returning).toMatch(new RegExp(` before .* ${TAG}\n(.*\n)* +after .*groupName=web$`));
    expect(launching).toMatch(/ before .*groupName=web\n/);
    expect(notJson).toContain('message  not an Auto Scaling message\n');
    expect(notJson).toContain('failed   InvalidMessageError: Sns.Message is "ALARM:');
    expect(two).toMatch(new RegExp(`after .* ${TAG}\n +i-0a1b2c3d4e5f60718  aws:autoscaling:groupName=web  ${TAG}$`));
    expect(notification).not.toMatch(/before|after/);
  });

  it('prints no character of a message that controls a terminal', async ({ write }) => {
    const changes = {
      AutoScalingGroupName: 'w\x1b]0;title\x07\x9b2K\u202eb\r\n  after    forged',
      LifecycleHookName: 'h\x9b\u202e',
      Origin: '\x1b[31mO',
    };
    const good = write('good\x1b\u202e.json', eventWith('terminating', changes));
    const bad = write('bad.json', eventWith('terminating', { ...changes, EC2InstanceId: 'i-\x1b[2K\x9b\u202e' }));
    const { out, code } = await start([good, bad]);
    expect(code).toBe(1);
    expect(out).toContain('  group w?]0;title??2K?b??  after    forged  ?[31mO → EC2\n');
    expect(out).toContain('  i-?[2K??  ');
    expect(out).toContain('good??.json\n');
    expect(out).toMatch(/failed {3}InvalidMessageError: .*EC2InstanceId is /);
    expect(out.replaceAll('\n', '')).not.toMatch(/[\p{Cc}\p{Cf}]/u);
  });

  it('gives the settings to the function', async () => {
    const { out } = await start([], { TAG_KEY: 'drain', TAG_VALUE: 'now' });
    expect(out).toContain('aws:autoscaling:groupName=web  drain=now\n');
    expect(await start([], { HEARTBEAT_TIMEOUT: '300' })).toMatchObject({
      out: expect.stringContaining('failed   StaleMessageError: Sns.Timestamp is "2024-'),
      code: 1,
    });
  });

  it('prints its help, and runs nothing', async () => {
    expect((await start(['--help'])).out).toMatch(/^npm start .*settings of the function\n$/s);
  });

  it('finds a file in the folder where the user called npm', async ({ folder, write }) => {
    write('mine.json', event('two-records'));
    const { out, code } = await start(['mine.json'], { INIT_CWD: folder });
    expect(out).toContain('\nmine.json\n');
    expect(code).toBe(0);
    expect(await start([], { INIT_CWD: folder })).toMatchObject({ code: 0 });
  });

  it('reads standard input when the file is -', async () => {
    const stdin = vi.spyOn(process, 'stdin', 'get');
    stdin.mockReturnValue(Readable.from([JSON.stringify(event('terminating'))]) as typeof process.stdin);
    expect(await start(['-'])).toMatchObject({ out: expect.stringContaining(TAG), code: 0 });
  });

  it.for([
    ['missing.json', undefined, /^cannot be read \(ENOENT: .*\); expected an SNS event in JSON$/],
    ['broken.json', '{', /^cannot be read \(.*\); expected an SNS event in JSON$/],
    ['null.json', null, /^is not an SNS event; expected \{"Records": /],
    ['message.json', { LifecycleTransition: 'x' }, /^is not an SNS event/],
    ['empty.json', { Records: [] }, /^is not an SNS event/],
    ['sqs.json', { Records: [{ body: '{}' }] }, /^is not an SNS event/],
    ['topic.json', { Records: [{ Sns: { Message: '{}' } }] }, /^Sns\.TopicArn is absent; expected arn:/],
  ] as const)('runs nothing when a file is wrong: %s', async ([name, content, reason], { folder, write }) => {
    const path = content === undefined ? join(folder, name) : write(name, content);
    const { out, code } = await start(['test/events/terminating.json', path]);
    expect(out).toBe('');
    expect(String(code).split(`${path}: `)).toEqual(['', expect.stringMatching(reason)]);
  });
});

describe('npm start with AWS_ENDPOINT_URL', () => {
  it('uses that endpoint unchanged, and adds no instance', async ({ endpoint }) => {
    const { out, code } = await start([], { AWS_ENDPOINT_URL: endpoint.url, AWS_USE_FIPS_ENDPOINT: 'true', ...KEYS });
    expect(code).toBe(0);
    expect(out).toContain(`EC2       ${endpoint.url}, from AWS_ENDPOINT_URL\n`);
    expect(out).toContain(`before   ${INSTANCE}  no tags\n`);
    expect(out).toContain(`after    ${INSTANCE}  ${TAG}\n`);
    expect([...endpoint.instances.keys()]).toEqual([INSTANCE]);
    expect(endpoint.calls.map(({ action }) => action)).toEqual([
      'DescribeInstances',
      'CreateTags',
      'DescribeInstances',
    ]);
  });

  it('does not call that endpoint when the message names no instance', async ({ endpoint }) => {
    await start(['test/events/test-notification.json'], { AWS_ENDPOINT_URL: endpoint.url, ...KEYS });
    expect(endpoint.calls).toEqual([]);
  });

  it('finds credentials in a profile', async ({ endpoint, write }) => {
    const AWS_SHARED_CREDENTIALS_FILE = write(
      'credentials',
      '[staging]\naws_access_key_id = AKIAPROFILE\naws_secret_access_key = secret\naws_session_token = temporary\n',
    );
    const profile = { AWS_PROFILE: 'staging', AWS_SHARED_CREDENTIALS_FILE };
    expect(await start([], { AWS_ENDPOINT_URL: endpoint.url, ...profile })).toMatchObject({ code: 0 });
    const call = { accessKeyId: 'AKIAPROFILE', sessionToken: 'temporary' };
    expect(endpoint.calls).toMatchObject([call, call, call]);
  });

  it.for([
    [{}, /^AWS_PROFILE is not set; expected a profile, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY \(.+\)$/],
    [{ AWS_PROFILE: 'stagign' }, /^AWS_PROFILE is "stagign"; expected a profile that has credentials \(.+\)$/],
  ] as const)(
    'says which setting is wrong when there are no credentials: %j',
    async ([profile, message], { endpoint }) => {
      expect((await start([], { AWS_ENDPOINT_URL: endpoint.url, ...profile })).code).toMatch(message);
      expect(endpoint.calls).toEqual([]);
    },
  );

  it('treats an empty URL as unset, and refuses a text that is not a URL', async () => {
    expect((await start([], { AWS_ENDPOINT_URL: '' })).out).toContain(', in memory\n');
    const code = 'AWS_ENDPOINT_URL is "localhost:5000"; expected http://… or https://…';
    expect(await start([], { AWS_ENDPOINT_URL: 'localhost:5000', ...KEYS })).toEqual({ out: '', err: '', code });
  });

  it.for<[Fault, RegExp]>([
    [{ status: 401, code: 'AuthFailure' }, /: HTTP status 401, AuthFailure: .*$/],
    [{ status: 404, html: '<!doctype html>Not found<br>' }, /: HTTP status 404, .*XML parse error.*$/],
    [{ status: 200, html: '<html></html>' }, /: HTTP status 200, .*the answer has no list of instances$/],
  ])('names endpoint, status and error in one line: %j', async ([fault, error], { endpoint }) => {
    endpoint.lastingFault = fault;
    const { code } = await start([], { AWS_ENDPOINT_URL: endpoint.url, ...KEYS });
    expect(String(code).split(endpoint.url)).toEqual(['DescribeInstances fails at ', expect.stringMatching(error)]);
  });

  it('names an endpoint that is down', async ({ endpoint: { close, url } }) => {
    await close();
    const { code } = await start([], { AWS_ENDPOINT_URL: url, ...KEYS });
    expect(code).toBe(`DescribeInstances fails at ${url}: Error: connect ECONNREFUSED ${new URL(url).host}`);
  });

  it('gives up a call that takes too long', async ({ endpoint }) => {
    const { timeout } = AbortSignal;
    vi.spyOn(AbortSignal, 'timeout').mockImplementation((ms) => timeout.call(AbortSignal, ms / 1000));
    endpoint.faults.push('hang in body');
    const { code } = await start([], { AWS_ENDPOINT_URL: endpoint.url, ...KEYS });
    expect(code).toMatch(/^DescribeInstances fails at http:\S+: TimeoutError: /);
  });
});

describe('npm start that is interrupted', () => {
  it('stops waiting for standard input', async () => {
    const end = new AbortController();
    const silent = new Readable({ read: () => end.abort(new Error('interrupted')) });
    vi.spyOn(process, 'stdin', 'get').mockReturnValue(silent as typeof process.stdin);
    expect(await start(['-'], {}, end.signal)).toMatchObject({ out: '', code: expect.any(String) });
  });

  it('stops waiting for the tags', async ({ endpoint }) => {
    const end = new AbortController();
    endpoint.faults.push('hang');
    const ended = start([], { AWS_ENDPOINT_URL: endpoint.url, ...KEYS }, end.signal);
    await vi.waitFor(() => expect(endpoint.calls).toHaveLength(1), { timeout: 30_000, interval: 5 });
    end.abort(new Error('interrupted'));
    expect((await ended).code).toMatch('interrupted');
  });

  it('ends the function, and leaves no folder and no process behind', async ({ endpoint, folder }) => {
    // The first call is for the tags, and the second is the function's.
    const noInstances = '<DescribeInstancesResponse><reservationSet/></DescribeInstancesResponse>';
    endpoint.faults.push({ status: 200, html: noInstances }, 'hang');
    const environment = isolated({ AWS_ENDPOINT_URL: endpoint.url, ...KEYS, TMPDIR: folder, NO_COLOR: '1' });
    const child = spawn(process.execPath, ['scripts/start.ts'], {
      cwd: PROJECT,
      env: { ...process.env, ...environment },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    const printed = text(child.stderr);
    const entries = () => readdirSync(folder).filter((name) => name.startsWith('remove-from-lb-'));
    await vi.waitFor(() => expect(endpoint.calls).toHaveLength(2), { timeout: 30_000 });
    expect(entries()).toHaveLength(1);
    child.kill('SIGINT');
    // The function's process holds the same standard error, so this also waits for the end of that process.
    const [code] = await once(child, 'close');
    expect({ code, err: await printed }).toEqual({ code: 130, err: 'npm start: interrupted\n' });
    expect(entries()).toEqual([]);
    expect(endpoint.calls).toHaveLength(2);
  });
});
