import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { build, type Plugin } from 'esbuild';
import { expect, onTestFinished, test } from 'vitest';
import options, { change, limitSize, steps } from '../esbuild.config.mjs';
import { bundle } from '../scripts/bundle.ts';

const SCHEMAS = '@aws-sdk/client-ec2/dist-es/schemas/schemas_0.js';

test('the zip takes at most 60 kB', async () => {
  expect((await bundle()).zip.length).toBeLessThanOrEqual(60_000);
});

test.each(steps)('the build fails when $name finds nothing in the bundle that it is for', async (step) => {
  await expect(buildWith(step, 'export const handler = 1')).rejects.toThrow(/finds no .*has the AWS SDK changed/);
});

test('the build fails when the file that a step changes is loaded but not used', async () => {
  const entry = await given('sdk/index.js', 'export const before = 1;');
  const step = change('a step', 'sdk/index.js', () => 'export const before = 2;');
  await expect(
    buildWith(step, `import { before } from ${JSON.stringify(entry)}; export const handler = 1`),
  ).rejects.toThrow('finds no sdk/index.js in the bundle');
});

test('the build fails when the schemas are written in a way that the step does not know', async () => {
  const entry = await given(SCHEMAS, 'export const CreateTags$ = { ["xmlName"]: 1 };');
  const [schemas] = steps;
  await expect(buildWith(schemas, `export * from ${JSON.stringify(entry)}`)).rejects.toThrow(
    `finds nothing to change in ${SCHEMAS}`,
  );
});

test('the build fails when a replaced module has new exports in use', async () => {
  const entry = await given('sdk/index.js', 'export const before = 1;');
  const step = change('a step', 'sdk/index.js', () => 'export const before = 2;');
  await expect(buildWith(step, `export { after } from ${JSON.stringify(entry)}`)).rejects.toThrow(
    'No matching export in',
  );
});

test('the build fails when the bundle grows over its limit', async () => {
  const { plugins: _, ...rest } = options;
  await expect(
    build({ ...rest, write: false, logLevel: 'silent', plugins: [...steps, limitSize(1000)] }),
  ).rejects.toThrow(/the bundle has \d+ bytes, more than 1000/);
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
