import { readdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type BuildOptions, build } from 'esbuild';
import { describe, expect, test } from 'vitest';
import options, { steps } from '../esbuild.config.mjs';
import { main, writeBundle } from '../scripts/bundle.ts';
import { temporaryFolder } from '../scripts/temporary-folder.ts';
import { fakeTerminal } from './helpers/terminal.ts';

/** Another function, which takes no time to bundle. */
const SMALL: BuildOptions = { stdin: { contents: 'exports.handler = 1' } };

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
    const { terminal, printed } = fakeTerminal();
    await expect(writeBundle(join(folder.path, 'dist/function.zip'), terminal, several)).rejects.toThrow(
      /^esbuild made 2 files .*; expected index.js alone$/,
    );
    expect({ printed, files: await readdir(folder.path) }).toEqual({ printed: { out: '', err: '' }, files: [] });
  });

  test('says in one sentence that the zip cannot be written', async () => {
    await using folder = await temporaryFolder('bundle-build-');
    await writeFile(join(folder.path, 'dist'), '');
    const file = join(folder.path, 'dist/function.zip');
    await expect(writeBundle(file, fakeTerminal().terminal, SMALL)).rejects.toThrow(
      `${file} cannot be written: EEXIST: file already exists, mkdir '${dirname(file)}'`,
    );
  });

  test('writes no zip after an interruption', async () => {
    await using folder = await temporaryFolder('bundle-build-');
    const { terminal } = fakeTerminal(AbortSignal.abort(new Error('interrupted')));
    await expect(writeBundle(join(folder.path, 'function.zip'), terminal, SMALL)).rejects.toThrow('interrupted');
    expect(await readdir(folder.path)).toEqual([]);
  });

  test.each(['--help', '-h'])('prints its help with %s, and makes nothing', async (help) => {
    const { terminal, printed } = fakeTerminal();
    expect(await main([help], {}, terminal)).toBe(0);
    expect(printed.out).toMatch(/^npm run bundle\n/);
  });

  test.each([
    ['--fast', "Unknown option '--fast'; npm run bundle -- --help lists the options"],
    ['foo', "Unexpected argument 'foo'"],
  ])('refuses %s', async (argument, message) => {
    await expect(main([argument], {}, fakeTerminal().terminal)).rejects.toThrow(message);
  });
});
