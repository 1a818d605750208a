import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type BuildOptions, build } from 'esbuild';
import { describe, expect, test } from 'vitest';
import options, { steps } from '../esbuild.config.mjs';
import { writeBundle } from '../scripts/bundle.ts';
import { temporaryFolder } from '../scripts/temporary-folder.ts';
import { fakeTerminal } from './helpers/terminal.ts';

test.each<[string, BuildOptions]>([
  ['grows by 3 %', { banner: { js: `/*${' '.repeat(4200)}*/` } }],
  ['has event streams', { external: [] }],
  ...steps.map(({ name }): [string, BuildOptions] => [
    `is built without the step "${name}"`,
    { plugins: options.plugins?.filter((plugin) => plugin.name !== name) ?? [] },
  ]),
])('the build fails when the bundle %s', async (_, change) => {
  await expect(build({ ...options, ...change, outdir: 'dist', write: false, logLevel: 'silent' })).rejects.toThrow(
    /the bundle has \d+ bytes; MAX_BYTES in esbuild.config.mjs is \d+\. After an update of the AWS SDK, a step/,
  );
});

describe('npm run bundle', () => {
  test('fails, and writes no zip, when esbuild makes several files', async () => {
    await using folder = await temporaryFolder('bundle-build-');
    const several = { entryPoints: ['src/arn.ts', 'src/settings.ts'] };
    await expect(writeBundle(join(folder.path, 'function.zip'), fakeTerminal().terminal, several)).rejects.toThrow(
      /^esbuild made 2 files .*; expected index.js alone$/,
    );
    expect(await readdir(folder.path)).toEqual([]);
  });

  test('writes no zip after an interruption', async () => {
    await using folder = await temporaryFolder('bundle-build-');
    const small = { stdin: { contents: '' } };
    const { terminal } = fakeTerminal(AbortSignal.abort(new Error('interrupted')));
    await expect(writeBundle(join(folder.path, 'function.zip'), terminal, small)).rejects.toThrow('interrupted');
    expect(await readdir(folder.path)).toEqual([]);
  });
});
