// The contract of the built file. The build drops and replaces parts of the AWS SDK, so a mistake in the build shows here
// and in no test of src/.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import https from 'node:https';
import { createRequire } from 'node:module';
import { type AddressInfo, createServer } from 'node:net';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { CreateTagsCommand, EC2Client } from '@aws-sdk/client-ec2';
import type { Context, SNSEvent } from 'aws-lambda';
import { unzipSync } from 'fflate';
import { afterAll, describe, expect, vi } from 'vitest';
import type { Fault } from '../scripts/local-aws/ec2-endpoint.ts';
import { temporaryFolder } from '../scripts/temporary-folder.ts';
import { DEFAULT_TAG } from '../src/settings.ts';
import { event } from './helpers/event.ts';
import { FUNCTION_ARN } from './helpers/invoke.ts';
import { INSTANCE, it, zip } from './helpers/zipped-function.ts';

const PROJECT = fileURLToPath(new URL('..', import.meta.url));
const code = Buffer.from(unzipSync(zip)['index.js'] ?? []);
const folder = await temporaryFolder('bundle-');
afterAll(() => folder.remove());

const require = createRequire(import.meta.url);
const index = join(folder.path, 'index.js');
writeFileSync(index, code);

const CONTEXT = { invokedFunctionArn: FUNCTION_ARN, getRemainingTimeInMillis: () => 10_000 } as Context;

/** Loads the bundle anew, as a cold start does. */
function load() {
  delete require.cache[index];
  return require(index) as typeof import('../src/handler.ts');
}

function stubEnvironment(environment: Record<string, string>): void {
  const credentials = { AWS_ACCESS_KEY_ID: 'key', AWS_SECRET_ACCESS_KEY: 'secret' };
  for (const [name, value] of Object.entries({ ...credentials, ...environment })) vi.stubEnv(name, value);
}

describe('the zip', () => {
  /** Runs `npm run bundle` in a copy of the project, and returns its output and the zip. */
  function bundleIn(copy: string, shell: string, environment: Record<string, string>) {
    mkdirSync(copy);
    for (const part of ['src', 'scripts', 'package.json', 'esbuild.config.mjs', 'tsconfig.json']) {
      cpSync(join(PROJECT, part), join(copy, part), { recursive: true });
    }
    symlinkSync(join(PROJECT, 'node_modules'), join(copy, 'node_modules'));
    const { status, stdout, stderr } = spawnSync('sh', ['-c', `${shell} '${process.execPath}' scripts/bundle.ts`], {
      cwd: copy,
      env: { ...process.env, ...environment },
      encoding: 'utf8',
    });
    if (status !== 0) throw new Error(stderr);
    return { stdout, zip: readFileSync(join(copy, 'dist/function.zip')) };
  }

  it('has the same bytes from other folders, time zones and umasks, and the printed size and hash', () => {
    const first = bundleIn(join(folder.path, '1'), 'umask 077;', { TZ: 'Pacific/Kiritimati', USER: 'else' });
    const second = bundleIn(join(folder.path, '2'), '', { TZ: 'America/Los_Angeles' });
    expect(first.zip).toEqual(Buffer.from(zip));
    expect(second.zip).toEqual(Buffer.from(zip));
    const sha256 = createHash('sha256').update(zip).digest('base64');
    expect(first.stdout).toBe(
      `dist/function.zip  ${zip.length} bytes, ${code.length} unzipped\nCodeSha256         ${sha256}\n`,
    );
  });

  it('holds one file that everybody may read', () => {
    expect(Object.keys(unzipSync(zip))).toEqual(['index.js']);
    // The central directory: https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT, 4.3.12
    const bytes = Buffer.from(zip);
    const header = bytes.lastIndexOf('PK\x01\x02');
    const madeOnUnix = bytes.readUInt8(header + 5) === 3;
    const mode = bytes.readUInt32LE(header + 38) >>> 16;
    expect({ madeOnUnix, mode: mode.toString(8) }).toEqual({ madeOnUnix: true, mode: '100644' });
  });

  it('holds no source map, no test code, no path of the machine that built it, and no import()', () => {
    // import() would make Node start its loader of ES modules.
    const foreign = ['sourceMappingURL', 'fast-check', 'aws-sdk-client-mock', 'node_modules', 'import('];
    expect([...foreign, PROJECT, homedir(), tmpdir()].filter((text) => code.includes(text))).toEqual([]);
  });
});

describe('the module', () => {
  it('exports the handler to import(), by which Lambda loads the module', () => {
    const script = `import { handler } from ${JSON.stringify(index)}; console.log(handler.length)`;
    const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' });
    expect({ stdout, stderr }).toEqual({ stdout: '2\n', stderr: '' });
  });

  it('lets a tracing layer replace the handler', () => {
    const traced = async () => {};
    const module = load();
    Object.defineProperty(module, 'handler', { value: traced });
    expect(require(index)).toEqual({ handler: traced });
  });

  it("keeps an error's name for Lambda's own log line, which shows the constructor's name", async ({ endpoint }) => {
    endpoint.lastingFault = { status: 403, code: 'UnauthorizedOperation' };
    vi.spyOn(console, 'error').mockImplementation(() => {});
    stubEnvironment({ AWS_ENDPOINT_URL: endpoint.url });
    const error = await load()
      .handler(event('terminating'), CONTEXT)
      .catch((thrown: Error) => thrown);
    expect(error?.constructor.name).toBe('UnauthorizedOperation');
  });
});

describe('the endpoint', () => {
  it.each([
    ['us-west-2', 'ec2.us-west-2.amazonaws.com'],
    ['eu-central-2', 'ec2.eu-central-2.amazonaws.com'],
    ['us-gov-west-1', 'ec2.us-gov-west-1.amazonaws.com'],
    ['cn-north-1', 'ec2.cn-north-1.amazonaws.com.cn'],
    ['us-iso-east-1', 'ec2.us-iso-east-1.c2s.ic.gov'],
  ])('for a topic in %s is %s', async (region, host) => {
    expect(await requestFor(region)).toMatchObject({ host, method: 'POST', path: '/' });
  });

  const url = 'https://vpce-1.ec2.us-west-2.vpce.amazonaws.com:8443/';
  const custom = { host: 'vpce-1.ec2.us-west-2.vpce.amazonaws.com', port: 8443 };
  it.each([
    [{ AWS_USE_FIPS_ENDPOINT: 'true' }, { host: 'ec2-fips.us-west-2.amazonaws.com' }],
    [{ AWS_USE_FIPS_ENDPOINT: 'TRUE' }, { host: 'ec2-fips.us-west-2.amazonaws.com' }],
    [{ AWS_USE_DUALSTACK_ENDPOINT: 'true' }, { host: 'ec2.us-west-2.api.aws' }],
    [{ AWS_USE_DUALSTACK_ENDPOINT: 'TRUE' }, { host: 'ec2.us-west-2.api.aws' }],
    [{ AWS_ENDPOINT_URL: url }, custom],
    [{ AWS_ENDPOINT_URL_EC2: url }, custom],
    [{ AWS_ENDPOINT_URL_EC2: url, AWS_ENDPOINT_URL: 'https://any.example' }, custom],
    [{ AWS_ENDPOINT_URL_EC2: '', AWS_ENDPOINT_URL: url }, custom],
    [{ AWS_ENDPOINT_URL_EC2: '', AWS_ENDPOINT_URL: '' }, { host: 'ec2.us-west-2.amazonaws.com' }],
  ])('obeys the environment: %j', async (environment, expected) => {
    expect(await requestFor('us-west-2', environment)).toMatchObject(expected);
  });

  it.each(['AWS_USE_FIPS_ENDPOINT', 'AWS_USE_DUALSTACK_ENDPOINT'])(
    'takes a %s that is neither true nor false for false, as the SDK does',
    async (variable) => {
      const host = 'ec2.us-west-2.amazonaws.com';
      const noFiles = { AWS_CONFIG_FILE: '/dev/null', AWS_SHARED_CREDENTIALS_FILE: '/dev/null' };
      expect(await requestFor('us-west-2', { [variable]: 'maybe', ...noFiles })).toMatchObject({ host });
      const command = new CreateTagsCommand({ Resources: [INSTANCE], Tags: [] });
      await new EC2Client({ region: 'us-west-2', maxAttempts: 1 }).send(command).catch(() => {});
      expect(vi.mocked(https.request).mock.lastCall?.[0]).toMatchObject({ host });
    },
  );

  it("of the function's own region is set while the bundle loads", async () => {
    const later = { AWS_ENDPOINT_URL: 'https://at-call.example' };
    expect(await requestFor('us-west-2', { AWS_ENDPOINT_URL: 'https://at-load.example' }, later)).toMatchObject({
      host: 'at-load.example',
    });
  });

  it('is not called without credentials', async () => {
    await expect(requestFor('us-west-2', { AWS_SECRET_ACCESS_KEY: '' })).rejects.toThrow(
      'Unable to find environment variable credentials',
    );
  });

  /**
   * Loads the bundle anew, handles a terminating message from a topic in the region, and returns the request that the
   * bundle makes of node:https.
   * @param later changes of the environment between load and call.
   */
  async function requestFor(region: string, environment = {}, later = {}): Promise<unknown> {
    stubEnvironment({ AWS_REGION: region, AWS_ENDPOINT_URL: '', ...environment });
    vi.spyOn(console, 'error').mockImplementation(() => {});
    const request = vi.spyOn(https, 'request').mockImplementation(() => {
      throw new Error('no further than this');
    });
    const { handler } = load();
    stubEnvironment({ ...environment, ...later });
    const context = { ...CONTEXT, invokedFunctionArn: FUNCTION_ARN.replace('us-west-2', region) };
    const terminating: SNSEvent = JSON.parse(JSON.stringify(event('terminating')).replaceAll('us-west-2', region));
    await handler(terminating, context).catch((error: Error) => {
      if (error.message !== 'no further than this') throw error;
    });
    return request.mock.lastCall?.[0];
  }
});

describe.concurrent('the zipped function, in a process as Lambda starts it', () => {
  it('sets the tag and clears the tag, call after call', async ({ endpoint, start }) => {
    const tags = () => Object.fromEntries(endpoint.instances.get(INSTANCE)?.tags ?? []);
    const lambda = await start();
    for (let round = 0; round < 2; round += 1) {
      expect(await lambda.invoke(event('terminating'))).toMatchObject({
        log: [{ level: 'INFO', message: { outcome: 'tagged', instanceId: INSTANCE } }],
      });
      expect(tags()).toEqual({ Name: 'web-1', [DEFAULT_TAG.key]: DEFAULT_TAG.value });
      expect(await lambda.invoke(event('launching-from-warm-pool'))).toMatchObject({
        log: [{ level: 'INFO', message: { outcome: 'untagged' } }],
      });
      expect(tags()).toEqual({ Name: 'web-1' });
    }
  });

  it('reports its error', async ({ invoke }) => {
    const { log, error } = await invoke('foreign-account');
    expect(error).toEqual({
      errorType: 'ForeignAccountError',
      errorMessage: `AccountId is "210987654321"; expected the function's own account, 123456789012`,
    });
    expect(log).toMatchObject([{ level: 'ERROR', message: { outcome: 'failed' } }]);
  });

  it('signs with the credentials that Lambda gives the function', async ({ endpoint, start }) => {
    const lambda = await start({ environment: { AWS_ACCESS_KEY_ID: 'AKIAROLE' } });
    await lambda.invoke(event('terminating'));
    expect(endpoint.calls).toMatchObject([{ action: 'CreateTags', accessKeyId: 'AKIAROLE' }]);
  });

  it('does not start with an invalid setting', async ({ start }) => {
    await expect(start({ environment: { TAG_KEY: '' } })).rejects.toThrow(
      'the function does not start: InvalidSettingError: TAG_KEY is ""; expected 1 to 128 characters',
    );
  });

  it.for<[string, Fault]>([
    ['an error in XML', { status: 503, code: 'RequestLimitExceeded' }],
    ['an error that only its name shows to be transient', { status: 400, code: 'ConcurrentTagAccess' }],
    ['a page from a proxy that waited too long', { status: 408, html: '<html><body><h1>408</h1></body></html>' }],
    ['a page from a proxy', { status: 502, html: '<html><body><h1>502 Bad Gateway</h1></body></html>' }],
    ['a reset connection', 'reset'],
    ['an answer that is cut off', 'reset in body'],
  ])('sets the tag when EC2 works again after %s', ([, fault], { expectTagAfter }) => expectTagAfter(fault));

  it('sets the tag when EC2 works again after an answer that is not HTTP', async ({ start, onTestFinished }) => {
    const success = 'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n';
    const answers = ['SSH-2.0-OpenSSH_9.6\r\n', success];
    const server = createServer((socket) => socket.once('data', () => socket.end(answers.shift() ?? '')));
    onTestFinished(() => void server.close());
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const { port } = server.address() as AddressInfo;
    const lambda = await start({ environment: { AWS_ENDPOINT_URL: `http://127.0.0.1:${port}` } });
    expect(await lambda.invoke(event('terminating'))).toMatchObject({ log: [{ message: { outcome: 'tagged' } }] });
    expect(answers).toEqual([]);
  });

  it('throws a permanent error at once', async ({ endpoint, invoke }) => {
    endpoint.lastingFault = { status: 403, code: 'UnauthorizedOperation' };
    expect(await invoke('terminating')).toMatchObject({ error: { errorType: 'UnauthorizedOperation' } });
    expect(endpoint.calls).toHaveLength(1);
  });
});
