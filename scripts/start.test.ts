import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, writeFileSync } from 'node:fs';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { describe, expect, it as test, vi } from 'vitest';
import { SETTING_NAMES } from '../src/settings.ts';
import { event } from '../test/helpers/event.ts';
import { fakeTerminal } from '../test/helpers/terminal.ts';
import { bundle } from './bundle.ts';
import { startEc2Endpoint } from './local-aws/ec2-endpoint.ts';
import { connect, describeTags } from './start/ec2.ts';
import { main } from './start.ts';
import { temporaryFolder } from './temporary-folder.ts';

const PROJECT = fileURLToPath(new URL('..', import.meta.url));
const INSTANCE = 'i-05629ab7d9287e205';
const KEYS = { AWS_ACCESS_KEY_ID: 'AKIAENVIRONMENT', AWS_SECRET_ACCESS_KEY: 'secret' };
const bundled = await bundle();

const it = test
  .extend('folder', async ({ onTestFinished }) => {
    const folder = await temporaryFolder('start-');
    onTestFinished(() => folder.remove());
    return folder.path;
  })
  .extend('endpoint', async ({ onTestFinished }) => {
    const endpoint = await startEc2Endpoint();
    onTestFinished(() => endpoint.close());
    endpoint.instances.set(INSTANCE, { tags: new Map([['Name', 'theirs']]) });
    return endpoint;
  })
  .extend('serve', async ({ onTestFinished }) => async (listener: RequestListener) => {
    const server = createServer(listener).listen(0, '127.0.0.1');
    await once(server, 'listening');
    onTestFinished(() => void server.close().closeAllConnections());
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });

/** No AWS account but the one in `environment`. */
function isolated(environment: Record<string, string>) {
  return { HOME: '/nonexistent', AWS_EC2_METADATA_DISABLED: 'true', INIT_CWD: PROJECT, ...environment };
}

/** Runs the command in this process. The SDK finds its credentials in the environment of the process. */
async function start(files: string[], environment: Record<string, string> = {}, signal?: AbortSignal) {
  vi.unstubAllEnvs();
  for (const [name, value] of Object.entries(isolated(environment))) vi.stubEnv(name, value);
  const { terminal, printed } = fakeTerminal(signal);
  const code = await main(files, process.env, terminal, async () => bundled).catch((error: Error) => error.message);
  return { ...printed, code };
}

/** Starts the command in a process of its own. */
function spawnStart(environment: Record<string, string>) {
  return spawn(process.execPath, ['scripts/start.ts'], {
    cwd: PROJECT,
    env: { ...process.env, ...isolated(environment), NO_COLOR: '1' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

function write(folder: string, name: string, content: string) {
  const file = join(folder, name);
  writeFileSync(file, content);
  return file;
}

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

  it('runs several files, and fails when the function refuses one', async () => {
    const names = ['launching-from-warm-pool', 'not-json', 'two-records', 'test-notification'];
    const { out, code } = await start(names.map((name) => `test/events/${name}.json`));
    expect(code).toBe(1);
    expect(out.match(/^test\/events\/.*$/gm)).toEqual(names.map((name) => `test/events/${name}.json`));
    expect(out).toContain('before  i-05629ab7d9287e205  aws:autoscaling:groupName=web  remove_from_lb=yes\n');
    expect(out).toContain('failed  InvalidMessageError: Sns.Message is "ALARM:');
    expect(out).toContain('i-0a1b2c3d4e5f60718  aws:autoscaling:groupName=web  remove_from_lb=yes\n');
    expect(out).toContain('after   no instance named\n');
  });

  it('shows the tags of more instances than a filter of EC2 takes', async ({ folder }) => {
    const record = JSON.stringify(event('terminating').Records[0]);
    const ids = Array.from({ length: 201 }, (_, n) => `i-${n.toString(16).padStart(17, '0')}`);
    const Records = ids.map((id) => JSON.parse(record.replaceAll(INSTANCE, id)));
    const { out, code } = await start([write(folder, 'many.json', JSON.stringify({ Records }))]);
    expect(out.match(/i-\w{17} {2}aws:autoscaling:groupName=web {2}remove_from_lb=yes\n/g)).toHaveLength(ids.length);
    expect(code).toBe(0);
  });

  it('gives the settings to the function', async () => {
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

  it('prints its help, with every setting, and runs nothing', async () => {
    const { out, err, code } = await start(['--help']);
    expect({ err, code }).toEqual({ err: '', code: 0 });
    expect(out).toMatch(/^npm start \[-- FILE…\]\n/);
    for (const name of ['AWS_ENDPOINT_URL', 'AWS_PROFILE', ...SETTING_NAMES]) expect(out).toContain(name);
    expect(out).not.toContain('function  as npm run bundle zips it');
  });

  it('refuses an unknown option, and names --help', async () => {
    const code = "Unknown option '--hlep'; npm start -- --help lists the options";
    expect(await start(['--hlep'])).toEqual({ out: '', err: '', code });
  });

  it('accepts a file that begins with a byte-order mark', async ({ folder }) => {
    const file = write(folder, 'marked.json', `\uFEFF${JSON.stringify(event('terminating'))}`);
    const { out, code } = await start([file]);
    expect(out).toMatch(/after .* remove_from_lb=yes\n/);
    expect(code).toBe(0);
  });

  it('finds a file in the folder from which npm was called', async ({ folder }) => {
    write(folder, 'mine.json', JSON.stringify(event('two-records')));
    const { out, code } = await start(['mine.json'], { INIT_CWD: folder });
    expect(out).toContain('\nmine.json\n');
    expect(code).toBe(0);
    expect(await start([], { INIT_CWD: folder })).toMatchObject({ code: 0 });
  });

  it('reads standard input when the file is -', async () => {
    const stdin = vi.spyOn(process, 'stdin', 'get');
    stdin.mockReturnValue(Readable.from([JSON.stringify(event('two-records'))]) as typeof process.stdin);
    const { out, code } = await start(['-']);
    expect(out).toMatch(/after .* remove_from_lb=yes\n/);
    expect(code).toBe(0);

    stdin.mockReturnValue(Readable.from(['{']) as typeof process.stdin);
    expect((await start(['-'])).code).toMatch(/^standard input: is not JSON \(/);
  });

  it('stops waiting for standard input when it is interrupted', async () => {
    const end = new AbortController();
    const silent = new Readable({ read: () => end.abort(new Error('interrupted')) });
    vi.spyOn(process, 'stdin', 'get').mockReturnValue(silent as typeof process.stdin);
    expect(await start(['-'], {}, end.signal)).toMatchObject({ out: '', code: expect.any(String) });
  });

  it.for([
    ['missing.json', undefined, 'cannot be read (ENOENT); expected a file that holds an SNS event'],
    ['', undefined, 'cannot be read (EISDIR); expected a file that holds an SNS event'],
    ['broken.json', '{', expect.stringMatching(/^is not JSON \(.*\); expected an SNS event/)],
    ['null.json', 'null', expect.stringMatching(/^is not an SNS event; expected \{"Records": /)],
    ['message.json', '{"LifecycleTransition":"x"}', expect.stringMatching(/^is not an SNS event/)],
    ['empty.json', '{"Records":[]}', expect.stringMatching(/^is not an SNS event/)],
    ['sqs.json', '{"Records":[{"body":"{}"}]}', expect.stringMatching(/^is not an SNS event/)],
    [
      'topic.json',
      '{"Records":[{"Sns":{"Message":"{}"}}]}',
      expect.stringMatching(/^Sns\.TopicArn is absent; expected arn:/),
    ],
  ] as const)('names the path of a wrong file and the reason: %s', async ([name, content, reason], { folder }) => {
    if (content !== undefined) write(folder, name, content);
    const { code } = await start([name || folder], { INIT_CWD: folder });
    const [path, ...rest] = String(code).split(': ');
    expect({ path, reason: rest.join(': ') }).toEqual({ path: name ? join(folder, name) : folder, reason });
  });

  it('names an empty file name', async () => {
    const code = 'FILE is ""; expected the name of a file that holds an SNS event';
    expect(await start([''])).toMatchObject({ out: '', code });
  });

  it('runs no file when one of them is wrong', async ({ folder }) => {
    const noTopic = write(folder, 'no-topic.json', '{"Records":[{"Sns":{"Message":"{}"}}]}');
    for (const wrong of [join(folder, 'missing.json'), noTopic]) {
      const { out, code } = await start(['test/events/terminating.json', wrong]);
      expect({ out, code }).toEqual({ out: '', code: expect.stringContaining(wrong) });
    }
  });

  it('lets the function itself refuse an odd instance id, and makes up no group', async ({ folder }) => {
    const Message = JSON.stringify({
      LifecycleTransition: 'autoscaling:EC2_INSTANCE_TERMINATING',
      EC2InstanceId: '<i&',
    });
    const TopicArn = 'arn:aws:sns:us-west-2:123456789012:topic';
    const odd = write(folder, 'odd.json', JSON.stringify({ Records: [{ Sns: { TopicArn, Message } }] }));
    const { out, code } = await start([odd]);
    expect(out).toContain('before  <i&  no tags\n');
    expect(out).toContain('failed  InvalidMessageError: EC2InstanceId is "<i&"');
    expect(code).toBe(1);
  });
});

describe('npm start with AWS_ENDPOINT_URL', () => {
  it('uses that endpoint, and adds no instance to it', async ({ endpoint }) => {
    const { out, code } = await start([], { AWS_ENDPOINT_URL: endpoint.url, ...KEYS });
    expect(code).toBe(0);
    expect(out).toContain(`EC2       ${endpoint.url}, from AWS_ENDPOINT_URL\n`);
    expect(out).toContain(`after   ${INSTANCE}  Name=theirs  remove_from_lb=yes\n`);
    expect([...endpoint.instances.keys()]).toEqual([INSTANCE]);
    expect(endpoint.calls).toMatchObject([
      { action: 'DescribeTags', accessKeyId: 'AKIAENVIRONMENT' },
      { action: 'CreateTags', accessKeyId: 'AKIAENVIRONMENT' },
      { action: 'DescribeTags', accessKeyId: 'AKIAENVIRONMENT' },
    ]);
  });

  it('finds its credentials in a profile', async ({ folder, endpoint }) => {
    const credentials = write(
      folder,
      'credentials',
      '[staging]\naws_access_key_id = AKIAPROFILE\naws_secret_access_key = secret\naws_session_token = temporary\n',
    );
    const profile = { AWS_PROFILE: 'staging', AWS_SHARED_CREDENTIALS_FILE: credentials };
    expect(await start([], { AWS_ENDPOINT_URL: endpoint.url, ...profile })).toMatchObject({ code: 0 });
    expect(endpoint.calls.map(({ sessionToken }) => sessionToken)).toEqual(['temporary', 'temporary', 'temporary']);
    expect(endpoint.calls.map(({ accessKeyId }) => accessKeyId)).toEqual(['AKIAPROFILE', 'AKIAPROFILE', 'AKIAPROFILE']);
  });

  it('uses that endpoint unchanged when the environment asks for FIPS', async ({ endpoint }) => {
    const fips = { ...KEYS, AWS_USE_FIPS_ENDPOINT: 'true' };
    expect(await start([], { AWS_ENDPOINT_URL: endpoint.url, ...fips })).toMatchObject({ code: 0 });
  });

  it('treats an empty one as unset, and refuses one that is not a URL', async () => {
    expect((await start([], { AWS_ENDPOINT_URL: '' })).out).toContain("the project's own endpoint");
    const code = 'AWS_ENDPOINT_URL is "localhost:5000"; expected http://… or https://…';
    expect(await start([], { AWS_ENDPOINT_URL: 'localhost:5000', ...KEYS })).toEqual({ out: '', err: '', code });
  });

  it('says which settings are missing when there are no credentials', async ({ endpoint }) => {
    const { code } = await start([], { AWS_ENDPOINT_URL: endpoint.url });
    const expected = 'expected a profile, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY';
    expect(code).toMatch(`AWS_PROFILE is not set; ${expected} (Could not load credentials from any providers)`);
    expect(endpoint.calls).toEqual([]);
  });

  it('names a profile that has no credentials', async ({ endpoint }) => {
    const { code } = await start([], { AWS_ENDPOINT_URL: endpoint.url, AWS_PROFILE: 'stagign' });
    expect(code).toMatch(/^AWS_PROFILE is "stagign"; expected a profile that has credentials \(.+\)$/);
    expect(endpoint.calls).toEqual([]);
  });

  it("shows EC2's own error", async ({ endpoint }) => {
    endpoint.lastingFault = { status: 401, code: 'AuthFailure' };
    const { code } = await start([], { AWS_ENDPOINT_URL: endpoint.url, ...KEYS });
    expect(code).toMatch(`DescribeTags fails at ${endpoint.url}: HTTP status 401, AuthFailure: `);
  });

  it.for([
    [502, '', /Unknown/],
    [404, '<!doctype html><html><head><meta charset=utf-8></head><body>Not found<br></body></html>', /XML parse error/],
    [200, '<!doctype html><html><body>Welcome</body></html>', /the answer has no list of tags/],
  ] as const)(
    'names the endpoint and the status when it is not EC2 that answers: %i %s',
    async ([status, body, reason], { serve }) => {
      const url = await serve((_, response) => void response.writeHead(status).end(body));
      const { code } = await start([], { AWS_ENDPOINT_URL: url, ...KEYS });
      const [first, ...rest] = String(code).split(', ');
      expect(first).toBe(`DescribeTags fails at ${url}: HTTP status ${status}`);
      expect(rest.join(', ')).toMatch(reason);
      expect(rest.join(', ')).not.toContain('\n');
    },
  );

  it.for([
    ['does not answer', () => {}],
    ['begins an answer and does not continue', (_, response) => void response.writeHead(200).write('<')],
  ] satisfies [string, RequestListener][])('gives up on an endpoint that %s', async ([, listener], { serve }) => {
    const url = await serve(listener);
    const client = connect(url, 'us-west-2', { accessKeyId: 'key', secretAccessKey: 'secret' }, 50);
    await expect(describeTags(client, url, [INSTANCE], new AbortController().signal)).rejects.toThrow(
      /^DescribeTags fails at http:\S+: (HTTP status 200, )?TimeoutError: .* 50 ms/,
    );
    client.destroy();
  });

  it('shows more tags than a page of EC2 has', async ({ endpoint }) => {
    const ids = Array.from({ length: 101 }, (_, n) => `i-${n.toString(16).padStart(17, '0')}`);
    const tags = Array.from({ length: 10 }, (_, n) => [`tag-${n}`, 'x'] as const);
    for (const id of ids) endpoint.instances.set(id, { tags: new Map(tags) });
    const client = connect(endpoint.url, 'us-west-2', { accessKeyId: 'key', secretAccessKey: 'secret' });
    const lines = await describeTags(client, endpoint.url, ids, new AbortController().signal);
    expect(lines).toEqual(ids.map((id) => `${id}  ${tags.map((tag) => tag.join('=')).join('  ')}`));
    client.destroy();
  });

  it('says that nobody listens', async () => {
    const endpoint = await startEc2Endpoint();
    await endpoint.close();
    const { code } = await start([], { AWS_ENDPOINT_URL: endpoint.url, ...KEYS });
    const { host } = new URL(endpoint.url);
    expect(code).toBe(`DescribeTags fails at ${endpoint.url}: Error: connect ECONNREFUSED ${host}`);
  });
});

describe('npm start that is ended early', () => {
  // The first call is for the tags, the second one is the function's.
  const DESCRIBED =
    '<DescribeTagsResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><tagSet/></DescribeTagsResponse>';

  it('ends a call for the tags, and the invocation in progress', async ({ endpoint }) => {
    for (const faults of [['hang'], [{ status: 200, html: DESCRIBED }, 'hang']] as const) {
      const end = new AbortController();
      endpoint.calls.length = 0;
      endpoint.faults.push(...faults);
      const ended = start([], { AWS_ENDPOINT_URL: endpoint.url, ...KEYS }, end.signal);
      await vi.waitFor(() => expect(endpoint.calls).toHaveLength(faults.length), { timeout: 30_000, interval: 5 });
      end.abort(new Error('interrupted'));
      expect((await ended).code).toMatch(faults.length === 1 ? 'AbortError' : 'interrupted');
    }
  });

  it('leaves nothing behind after Ctrl-C', async ({ folder, endpoint }) => {
    endpoint.faults.push({ status: 200, html: DESCRIBED }, 'hang');
    const child = spawnStart({ AWS_ENDPOINT_URL: endpoint.url, ...KEYS, TMPDIR: folder });
    const printed = text(child.stderr);
    const entries = () => readdirSync(folder).filter((name) => name.startsWith('remove-from-lb-'));
    await vi.waitFor(() => expect(endpoint.calls).toHaveLength(2), { timeout: 30_000 });
    expect(entries()).toHaveLength(1);
    child.kill('SIGINT');
    // The function's process holds the same standard error, so this also waits for the end of that process.
    const [code] = await once(child, 'close');
    expect({ code, err: await printed }).toEqual({ code: 130, err: 'npm start: interrupted\n' });
    expect(entries()).toEqual([]);
  });

  it('leaves nothing behind when its output is closed', async ({ folder, serve }) => {
    // The endpoint answers only after the output was closed, so more output is sure to follow.
    const closed = Promise.withResolvers<void>();
    const url = await serve((_, response) => void closed.promise.then(() => response.end(DESCRIBED)));
    const child = spawnStart({ AWS_ENDPOINT_URL: url, ...KEYS, TMPDIR: folder });
    const printed = text(child.stderr);
    child.stdout.once('data', () => child.stdout.destroy()).once('close', closed.resolve);
    const [code] = await once(child, 'close');
    const err = 'npm start: the output cannot be written: write EPIPE\n';
    expect({ code, err: await printed }).toEqual({ code: 1, err });
    expect(readdirSync(folder).filter((name) => name.startsWith('remove-from-lb-'))).toEqual([]);
  });
});
