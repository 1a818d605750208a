// The contract of the built file. The build drops and replaces parts of the AWS SDK, so a mistake in the build shows here
// and in no test of src/.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import https from 'node:https';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
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
  it('has the same bytes from another folder, time zone and umask, and the printed size and hash', () => {
    const copy = join(folder.path, 'copy');
    for (const part of ['src', 'scripts', 'package.json', 'esbuild.config.mjs', 'tsconfig.json']) {
      cpSync(join(PROJECT, part), join(copy, part), { recursive: true });
    }
    symlinkSync(join(PROJECT, 'node_modules'), join(copy, 'node_modules'));
    const stdout = execFileSync('sh', ['-c', `umask 077; '${process.execPath}' scripts/bundle.ts`], {
      cwd: copy,
      env: { ...process.env, TZ: 'Pacific/Kiritimati' },
      encoding: 'utf8',
    });
    expect(readFileSync(join(copy, 'dist/function.zip'))).toEqual(Buffer.from(zip));
    const sha256 = createHash('sha256').update(zip).digest('base64');
    expect(stdout).toBe(
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

  it('holds no import()', () => {
    // import() would make Node start its loader of ES modules.
    expect(code.includes('import(')).toBe(false);
  });
});

describe('the module', () => {
  it('exports the handler to import(), with which Lambda loads the module', () => {
    const script = `import { handler } from ${JSON.stringify(index)}; console.log(handler.length)`;
    const stdout = execFileSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' });
    expect(stdout).toBe('2\n');
  });

  it("keeps an error's name for Lambda's own log line, which shows the constructor's name", async () => {
    vi.spyOn(console, 'error').mockImplementation(() => {});
    const error = await load()
      .handler({} as SNSEvent, CONTEXT)
      .catch((thrown: Error) => thrown);
    expect(error?.constructor.name).toBe('InvalidEventError');
  });

  it('lets a tracing layer replace the handler', () => {
    const traced = async () => {};
    const module = load();
    Object.defineProperty(module, 'handler', { value: traced });
    expect(require(index)).toEqual({ handler: traced });
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
    // The SDK takes other texts for false too.
    [{ AWS_USE_FIPS_ENDPOINT: 'maybe' }, { host: 'ec2.us-west-2.amazonaws.com' }],
    [{ AWS_USE_DUALSTACK_ENDPOINT: 'maybe' }, { host: 'ec2.us-west-2.amazonaws.com' }],
    [{ AWS_ENDPOINT_URL: url }, custom],
    [{ AWS_ENDPOINT_URL_EC2: url }, custom],
    [{ AWS_ENDPOINT_URL_EC2: url, AWS_ENDPOINT_URL: 'https://any.example' }, custom],
    [{ AWS_ENDPOINT_URL_EC2: '', AWS_ENDPOINT_URL: url }, custom],
    [{ AWS_ENDPOINT_URL_EC2: '', AWS_ENDPOINT_URL: '' }, { host: 'ec2.us-west-2.amazonaws.com' }],
  ])('obeys the environment: %j', async (environment, expected) => {
    expect(await requestFor('us-west-2', environment)).toMatchObject(expected);
  });

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
   * Loads the bundle anew and handles a terminating message from a topic in the region.
   * @returns the request that the bundle makes with node:https.
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

  it('signs with the credentials that Lambda gives the function', async ({ endpoint, start }) => {
    const lambda = await start({ environment: { AWS_ACCESS_KEY_ID: 'AKIAROLE' } });
    await lambda.invoke(event('terminating'));
    expect(endpoint.calls).toMatchObject([{ action: 'CreateTags', accessKeyId: 'AKIAROLE' }]);
  });

  it.for<[string, Fault]>([
    ['an error in XML', { status: 503, code: 'RequestLimitExceeded' }],
    ['an error whose name alone says that it is transient', { status: 400, code: 'ConcurrentTagAccess' }],
    ['a page from a proxy that waited too long', { status: 408, html: '<html><body><h1>408</h1></body></html>' }],
    ['a page from a proxy', { status: 502, html: '<html><body><h1>502 Bad Gateway</h1></body></html>' }],
    ['a reset connection', 'reset'],
    ['an answer that is cut off', 'reset in body'],
  ])('sets the tag when EC2 works again after %s', ([, fault], { expectTagAfter }) => expectTagAfter(fault));

  it('throws a permanent error at once, with the name of the error', async ({ endpoint, invoke }) => {
    endpoint.lastingFault = { status: 403, code: 'UnauthorizedOperation' };
    expect(await invoke('terminating')).toMatchObject({ error: { errorType: 'UnauthorizedOperation' } });
    expect(endpoint.calls).toHaveLength(1);
  });
});
