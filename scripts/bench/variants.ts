import { execFile } from 'node:child_process';
import { access, mkdir, rm, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { type BuildOptions, build } from 'esbuild';
import { unzipSync } from 'fflate';
import options, { steps } from '../../esbuild.config.mjs';
import { bundle } from '../bundle.ts';

/** A way to do the function's job. */
export interface Variant {
  readonly name: string;
  /** Its module, to be required. */
  readonly path: string;
  /** The module's size when it is a bundle. */
  readonly bytes?: number;
}

/** The variants that the figures are compared with by name. */
export const DEFAULTS = "SDK v3, esbuild's defaults";
export const SHIPPED = 'as shipped';
export const FLOOR = 'signed by hand, no SDK';

const HERE = fileURLToPath(new URL('.', import.meta.url));
// Inside the project, so that what is not bundled finds the project's dependencies.
const FOLDER = fileURLToPath(new URL('../../dist/bench/', import.meta.url));

const DEFAULT_OPTIONS: BuildOptions = {
  entryPoints: ['src/handler.ts'],
  bundle: true,
  platform: 'node',
  minify: true,
  format: 'cjs',
  ...(options.absWorkingDir && { absWorkingDir: options.absWorkingDir }),
};

/** Makes every variant whose start is compared: what there was, each build step on top of the last, the result, the floor. */
export async function buildVariants(): Promise<Variant[]> {
  await rm(FOLDER, { recursive: true, force: true });
  return [
    { name: 'the AWS SDK v2 of the original article', path: await installed('aws-sdk-v2.cjs') },
    {
      name: 'SDK v3, not bundled',
      path: (await built('unbundled', { ...DEFAULT_OPTIONS, packages: 'external' })).path,
    },
    { name: DEFAULTS, ...(await built('defaults', DEFAULT_OPTIONS)) },
    { name: 'the ES modules bundled', ...(await built('modules', { ...options, plugins: [] })) },
    ...(await Promise.all(
      steps.slice(0, -1).map(async ({ name }, last) => ({
        name: `… without ${name}`,
        ...(await built(`step-${last}`, { ...options, plugins: steps.slice(0, last + 1) })),
      })),
    )),
    { name: SHIPPED, ...(await shipped()) },
    { name: FLOOR, path: `${HERE}by-hand.cjs` },
  ];
}

/** The function as it lies in the zip. */
export async function shipped(): Promise<Omit<Variant, 'name'>> {
  const { 'index.js': contents } = unzipSync((await bundle()).zip);
  if (!contents) throw new Error('the zip holds no index.js');
  const path = `${FOLDER}shipped/index.cjs`;
  await mkdir(`${FOLDER}shipped`, { recursive: true });
  await writeFile(path, contents);
  return { path, bytes: contents.length };
}

/** Builds a function into a folder of its own. */
export async function built(name: string, buildOptions: BuildOptions): Promise<Omit<Variant, 'name'>> {
  const { outputFiles } = await build({
    ...buildOptions,
    outdir: `${FOLDER}${name}`,
    // The project's own .js are ES modules.
    outExtension: { '.js': '.cjs' },
    write: false,
  });
  const [file] = outputFiles;
  if (!file) throw new Error(`esbuild made nothing of ${name}`);
  await mkdir(`${FOLDER}${name}`, { recursive: true });
  await writeFile(file.path, file.contents);
  return { path: file.path, bytes: file.contents.length };
}

/** A module that needs what scripts/bench/package-lock.json names, which is installed at its first use. */
async function installed(name: string): Promise<string> {
  await access(`${HERE}node_modules`).catch(async () => {
    console.error('installing what the benchmarks compare with (npm ci in scripts/bench)');
    await promisify(execFile)('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], { cwd: HERE });
  });
  return `${HERE}${name}`;
}
