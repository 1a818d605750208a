import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type BuildOptions, build, type Plugin } from 'esbuild';
import { describe, expect, onTestFinished, test } from 'vitest';
import options, { change, steps } from '../esbuild.config.mjs';
import { bundle, main, writeBundle } from '../scripts/bundle.ts';
import { temporaryFolder } from '../scripts/temporary-folder.ts';
import { fakeTerminal } from './helpers/terminal.ts';

const SCHEMAS = '@aws-sdk/client-ec2/dist-es/schemas/schemas_0.js';
/** Another function, which takes no time to bundle. */
const SMALL: BuildOptions = { stdin: { contents: 'exports.handler = 1' } };

test('the zip takes at most 60 kB', async () => {
  expect((await bundle()).zip.length).toBeLessThanOrEqual(60_000);
});

test('the build fails when the bundle grows by 10 kB', async () => {
  const banner = { js: `/*${' '.repeat(10_000)}*/` };
  await expect(build({ ...options, banner, outdir: 'dist', write: false, logLevel: 'silent' })).rejects.toThrow(
    /the bundle has \d+ bytes, more than \d+/,
  );
});

test.each(steps)('the build fails when the bundle has nothing of $name', async (step) => {
  await expect(buildWith(step, 'export const handler = 1')).rejects.toThrow(/finds no .*has the AWS SDK changed/);
});

test.each([
  ['is not used', (file: string) => `import { before } from ${file}; export const handler = 1`],
  ['only hands on what another file has', (file: string) => `export { join } from ${file}`],
])('the build fails when the file that a step changes is loaded but %s', async (_, using) => {
  const file = await given('sdk/index.js', 'export const before = 1;');
  const other = JSON.stringify(await given('other/index.js', 'export const join = Math.max;'));
  const step = change('a step', 'sdk/index.js', () => `export const before = 2; export * from ${other}`);
  await expect(buildWith(step, using(JSON.stringify(file)))).rejects.toThrow('finds no sdk/index.js in the bundle');
});

test('the build fails when the schemas are written in a way that the step does not know', async () => {
  const entry = await given(SCHEMAS, 'export const CreateTags$ = { ["xmlName"]: 1 };');
  const [schemas] = steps;
  await expect(buildWith(schemas, `export * from ${JSON.stringify(entry)}`)).rejects.toThrow(
    `finds nothing to change in ${SCHEMAS}`,
  );
});

test('the build fails when the client asks its runtimeConfig for more than there is', async () => {
  const entry = await given('@aws-sdk/client-ec2/dist-es/runtimeConfig.js', '');
  const [, platform] = steps;
  await expect(buildWith(platform, `export { getMore } from ${JSON.stringify(entry)}`)).rejects.toThrow(
    'No matching export in',
  );
});

describe('npm run bundle', () => {
  test('fails, and writes no zip, when esbuild makes several files', async () => {
    await using folder = await temporaryFolder('bundle-build-');
    const several = { ...options, entryPoints: { ...options.entryPoints, arn: 'src/arn.ts' } };
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

  test('writes no zip once it is interrupted', async () => {
    await using folder = await temporaryFolder('bundle-build-');
    const { terminal } = fakeTerminal(AbortSignal.abort(new Error('interrupted')));
    await expect(writeBundle(join(folder.path, 'function.zip'), terminal, SMALL)).rejects.toThrow('interrupted');
    expect(await readdir(folder.path)).toEqual([]);
  });

  test.each(['--help', '-h'])('says with %s what it makes, and makes nothing', async (help) => {
    const { terminal, printed } = fakeTerminal();
    expect(await main([help], {}, terminal)).toBe(0);
    expect(printed.out).toMatch(/^npm run bundle\nBundles the function into dist\/function.zip/);
  });

  test.each([
    ['--fast', "Unknown option '--fast'; npm run bundle -- --help lists the options"],
    ['foo', "Unexpected argument 'foo'"],
  ])('refuses %s', async (argument, message) => {
    await expect(main([argument], {}, fakeTerminal().terminal)).rejects.toThrow(message);
  });
});

function buildWith(plugin: Plugin | undefined, contents: string) {
  const { entryPoints: _, plugins: __, ...rest } = options;
  return build({
    ...rest,
    stdin: { contents, resolveDir: import.meta.dirname },
    plugins: plugin ? [plugin] : [],
    write: false,
    logLevel: 'silent',
  });
}

/** Writes a file below a node_modules folder of its own and returns its path. */
async function given(name: string, text: string): Promise<string> {
  const folder = await temporaryFolder('bundle-build-');
  onTestFinished(folder.remove);
  const file = join(folder.path, 'node_modules', name);
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, text);
  return file;
}
