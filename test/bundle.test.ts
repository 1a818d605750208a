import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { unzipSync, zipSync } from 'fflate';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { startEc2Endpoint } from '../scripts/aws/ec2-endpoint.ts';
import { type LambdaOptions, type LambdaProcess, startLambda } from '../scripts/aws/lambda.ts';
import { event } from './event.ts';

const PROJECT = fileURLToPath(new URL('..', import.meta.url));
const INSTANCE = 'i-05629ab7d9287e205';

/** Runs `npm run bundle` in a folder, and gives back what it printed and the zip. */
function bundleIn(folder: string, shell = '', environment: Record<string, string> = {}) {
  const { status, stdout, stderr } = spawnSync('sh', ['-c', `${shell} '${process.execPath}' scripts/bundle.ts`], {
    cwd: folder,
    env: { ...process.env, ...environment },
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(stderr);
  return { stdout, zip: readFileSync(join(folder, 'dist/function.zip')) };
}

const { stdout, zip } = bundleIn(PROJECT);

describe('the zip', () => {
  it('is what the command says: name, size, size unzipped, and SHA-256 as Lambda shows it', () => {
    const code = unzipSync(zip)['index.js'] ?? new Uint8Array();
    const sha256 = createHash('sha256').update(zip).digest('base64');
    expect(stdout).toBe(
      `dist/function.zip  ${zip.length} bytes, ${code.length} unzipped\nCodeSha256         ${sha256}\n`,
    );
  });

  it('holds one file that everybody may read', () => {
    expect(Object.keys(unzipSync(zip))).toEqual(['index.js']);
    // The central directory: https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT, 4.3.12
    const header = zip.lastIndexOf('PK\x01\x02');
    const madeOnUnix = zip.readUInt8(header + 5) === 3;
    const mode = zip.readUInt32LE(header + 38) >>> 16;
    expect({ madeOnUnix, mode: mode.toString(8) }).toEqual({ madeOnUnix: true, mode: '100644' });
  });

  it('holds no source map, no test code and no path of the machine that built it', () => {
    const code = Buffer.from(unzipSync(zip)['index.js'] ?? []).toString();
    for (const foreign of [
      'sourceMappingURL',

      'fast-check',
      'aws-sdk-client-mock',
      PROJECT,
      homedir(),
      tmpdir(),
      'node_modules',
    ]) {
      expect(code.includes(foreign), foreign).toBe(false);
    }
  });

  it('has the same bytes from another folder, time zone and umask', () => {
    const other = mkdtempSync(join(tmpdir(), 'elsewhere-'));
    try {
      for (const part of ['src', 'scripts', 'package.json', 'esbuild.config.mjs', 'tsconfig.json']) {
        cpSync(join(PROJECT, part), join(other, part), { recursive: true });
      }
      symlinkSync(join(PROJECT, 'node_modules'), join(other, 'node_modules'));
      expect(bundleIn(other, 'umask 077;', { TZ: 'Pacific/Kiritimati', USER: 'else' }).zip.equals(zip)).toBe(true);
      expect(bundleIn(other, '', { TZ: 'America/Los_Angeles' }).zip.equals(zip)).toBe(true);
    } finally {
      rmSync(other, { recursive: true });
    }
  });
});

describe('the zipped function, in a process as Lambda starts it', () => {
  let endpoint: Awaited<ReturnType<typeof startEc2Endpoint>>;
  const started: LambdaProcess[] = [];

  beforeAll(async () => {
    endpoint = await startEc2Endpoint();
    endpoint.instances.set(INSTANCE, { tags: new Map() });
  });
  afterAll(() => endpoint.close());
  afterEach(() => Promise.all(started.splice(0).map((lambda) => lambda.stop())));

  async function start(options: LambdaOptions = {}) {
    const environment = { AWS_ENDPOINT_URL: endpoint.url, ...options.environment };
    const lambda = await startLambda(zip, { ...options, environment });
    started.push(lambda);
    return lambda;
  }

  function tags() {
    return Object.fromEntries(endpoint.instances.get(INSTANCE)?.tags ?? []);
  }

  it('sets the tag and clears it, call after call', async () => {
    const lambda = await start();
    for (let round = 0; round < 2; round += 1) {
      expect(await lambda.invoke(event('terminating'))).toMatchObject({
        log: [{ level: 'INFO', message: { outcome: 'tagged', instanceId: INSTANCE } }],
      });
      expect(tags()).toEqual({ remove_from_lb: 'yes' });
      expect(await lambda.invoke(event('launching-from-warm-pool'))).toMatchObject({
        log: [{ level: 'INFO', message: { outcome: 'untagged' } }],
      });
      expect(tags()).toEqual({});
    }
  });

  it('reports what it threw', async () => {
    const { log, error } = await (await start()).invoke(event('foreign-account'));
    expect(error).toEqual({
      errorType: 'ForeignAccountError',
      errorMessage: `AccountId is "210987654321"; expected the function's own account, 123456789012`,
    });
    expect(log).toMatchObject([{ level: 'ERROR', message: { outcome: 'failed' } }]);
  });

  it('signs with the credentials that Lambda gives it', async () => {
    endpoint.calls.length = 0;
    await (await start({ environment: { AWS_ACCESS_KEY_ID: 'AKIAROLE' } })).invoke(event('terminating'));
    expect(endpoint.calls).toMatchObject([{ action: 'CreateTags', accessKeyId: 'AKIAROLE' }]);
  });

  it("has Lambda's flags, Lambda's environment and a folder that it cannot write to", async () => {
    const reporting = `exports.handler = async () => console.info({
      flags: process.execArgv,
      environment: Object.keys(process.env).filter((name) => !/^(AWS_|LAMBDA_|NODE_CHANNEL_)/.test(name)).sort(),
      mode: (require('node:fs').statSync(__dirname).mode & 0o777).toString(8),
    })`;
    const lambda = await startLambda(zipSync({ 'index.js': new TextEncoder().encode(reporting) }));
    started.push(lambda);
    const { log } = await lambda.invoke({});
    expect(log[0]?.message).toEqual({
      flags: ['--no-experimental-require-module', '--no-experimental-detect-module'],
      environment: ['LANG', 'TZ'],
      mode: '555',
    });
  });

  it('does not start with a setting that is wrong', async () => {
    await expect(start({ environment: { TAG_KEY: '' } })).rejects.toThrow(
      'the function does not start: InvalidSettingError: TAG_KEY is ""; expected 1 to 128 characters',
    );
  });

  it('ends by itself before its timeout when EC2 does not answer', async () => {
    endpoint.faults.push('hang');
    expect(await (await start({ timeoutMs: 2000 })).invoke(event('terminating'))).toMatchObject({
      error: { errorType: 'DeadlineError' },
    });
  });
});
