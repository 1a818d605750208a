import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { unzipSync } from 'fflate';
import { describe, expect } from 'vitest';
import { bundle } from '../scripts/bundle.ts';
import { temporaryFolder } from '../scripts/temporary-folder.ts';
import { event } from './helpers/event.ts';
import { INSTANCE, it } from './helpers/zipped-function.ts';

const PROJECT = fileURLToPath(new URL('..', import.meta.url));
const zip = Buffer.from((await bundle()).zip);
const code = Buffer.from(unzipSync(zip)['index.js'] ?? []);

/** Runs `npm run bundle` in a copy of the project, and returns what it printed and the zip. */
function bundleIn(folder: string, shell = '', environment: Record<string, string> = {}) {
  mkdirSync(folder);
  for (const part of ['src', 'scripts', 'package.json', 'esbuild.config.mjs', 'tsconfig.json']) {
    cpSync(join(PROJECT, part), join(folder, part), { recursive: true });
  }
  symlinkSync(join(PROJECT, 'node_modules'), join(folder, 'node_modules'));
  const { status, stdout, stderr } = spawnSync('sh', ['-c', `${shell} '${process.execPath}' scripts/bundle.ts`], {
    cwd: folder,
    env: { ...process.env, ...environment },
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(stderr);
  return { stdout, zip: readFileSync(join(folder, 'dist/function.zip')) };
}

describe('the zip', () => {
  it('has the same bytes from other folders, time zones and umasks, and is what the command prints', async () => {
    await using folder = await temporaryFolder('bundle-');
    const first = bundleIn(join(folder.path, '1'), 'umask 077;', { TZ: 'Pacific/Kiritimati', USER: 'else' });
    const second = bundleIn(join(folder.path, '2'), '', { TZ: 'America/Los_Angeles' });
    expect(first.zip.equals(zip)).toBe(true);
    expect(second.zip.equals(zip)).toBe(true);
    const sha256 = createHash('sha256').update(zip).digest('base64');
    expect(first.stdout).toBe(
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

  it.each(['sourceMappingURL', 'fast-check', 'aws-sdk-client-mock', PROJECT, homedir(), tmpdir(), 'node_modules'])(
    'holds no source map, no test code and no path of the machine that built it: %s',
    (foreign) => {
      expect(code.includes(foreign)).toBe(false);
    },
  );
});

describe('the zipped function, in a process as Lambda starts it', () => {
  it('sets the tag and clears it, call after call', async ({ endpoint, start }) => {
    const tags = () => Object.fromEntries(endpoint.instances.get(INSTANCE)?.tags ?? []);
    const lambda = await start();
    for (let round = 0; round < 2; round += 1) {
      expect(await lambda.invoke(event('terminating'))).toMatchObject({
        log: [{ level: 'INFO', message: { outcome: 'tagged', instanceId: INSTANCE } }],
      });
      expect(tags()).toEqual({ Name: 'web-1', remove_from_lb: 'yes' });
      expect(await lambda.invoke(event('launching-from-warm-pool'))).toMatchObject({
        log: [{ level: 'INFO', message: { outcome: 'untagged' } }],
      });
      expect(tags()).toEqual({ Name: 'web-1' });
    }
  });

  it('reports what it threw', async ({ invoke }) => {
    const { log, error } = await invoke('foreign-account');
    expect(error).toEqual({
      errorType: 'ForeignAccountError',
      errorMessage: `AccountId is "210987654321"; expected the function's own account, 123456789012`,
    });
    expect(log).toMatchObject([{ level: 'ERROR', message: { outcome: 'failed' } }]);
  });

  it('signs with the credentials that Lambda gives it', async ({ endpoint, start }) => {
    const lambda = await start({ environment: { AWS_ACCESS_KEY_ID: 'AKIAROLE' } });
    await lambda.invoke(event('terminating'));
    expect(endpoint.calls).toMatchObject([{ action: 'CreateTags', accessKeyId: 'AKIAROLE' }]);
  });

  it('does not start with a setting that is wrong', async ({ start }) => {
    await expect(start({ environment: { TAG_KEY: '' } })).rejects.toThrow(
      'the function does not start: InvalidSettingError: TAG_KEY is ""; expected 1 to 128 characters',
    );
  });
});
