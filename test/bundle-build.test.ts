import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, symlinkSync } from 'node:fs';
import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build, type Plugin } from 'esbuild';
import { expect, onTestFinished, test } from 'vitest';
import options, { change, steps } from '../esbuild.config.mjs';
import { bundle } from '../scripts/bundle.ts';

const PROJECT = fileURLToPath(new URL('..', import.meta.url));
const SCHEMAS = '@aws-sdk/client-ec2/dist-es/schemas/schemas_0.js';

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

test('the bundle command fails, and writes no zip, when esbuild makes several files', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'bundle-build-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  for (const part of ['src', 'scripts', 'package.json', 'tsconfig.json', 'esbuild.config.mjs']) {
    cpSync(join(PROJECT, part), join(folder, part), { recursive: true });
  }
  symlinkSync(join(PROJECT, 'node_modules'), join(folder, 'node_modules'));
  await rename(join(folder, 'esbuild.config.mjs'), join(folder, 'one-file.mjs'));
  await writeFile(
    join(folder, 'esbuild.config.mjs'),
    `import options from './one-file.mjs';
    export default { ...options, entryPoints: { ...options.entryPoints, arn: 'src/arn.ts' } };`,
  );
  const { status, stderr } = spawnSync(process.execPath, ['scripts/bundle.ts'], { cwd: folder, encoding: 'utf8' });
  expect({ status, stderr }).toEqual({ status: 1, stderr: expect.stringContaining('esbuild made 2 files') });
  expect(existsSync(join(folder, 'dist'))).toBe(false);
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
  const folder = await mkdtemp(join(tmpdir(), 'bundle-build-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  const file = join(folder, 'node_modules', name);
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, text);
  return file;
}
