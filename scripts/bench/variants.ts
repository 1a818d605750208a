import { mkdir, mkdtempDisposable, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type BuildOptions, build } from 'esbuild';
import { unzipSync } from 'fflate';
import options, { steps } from '../../esbuild.config.mjs';
import { bundle } from '../bundle.ts';

/** A way to build the function. */
export interface Variant {
  readonly name: string;
  /** The module, to be required. */
  readonly path: string;
  /** Size of the module; absent when the module is not a bundle. */
  readonly bytes?: number;
}

export const DEFAULTS = "SDK v3, esbuild's defaults";
export const SHIPPED = 'as shipped';
export const FLOOR = 'signed by hand, no SDK';

const DIST = fileURLToPath(new URL('../../dist', import.meta.url));

const DEFAULT_OPTIONS: BuildOptions = {
  entryPoints: ['src/handler.ts'],
  bundle: true,
  platform: 'node',
  minify: true,
  format: 'cjs',
  ...(options.absWorkingDir && { absWorkingDir: options.absWorkingDir }),
};

/**
 * Makes a folder for variants; disposing of the folder removes it with all its files. The folder lies inside the project,
 * so that a variant that is not bundled finds the project's dependencies.
 */
export async function variantsFolder() {
  await mkdir(DIST, { recursive: true });
  return mkdtempDisposable(join(DIST, 'bench-'));
}

/** Makes the variants whose starts are compared: each build step added to the one before, the result, and the floor. */
export async function buildVariants(folder: string): Promise<Variant[]> {
  const { path: unbundled } = await built(folder, 'unbundled', { ...DEFAULT_OPTIONS, packages: 'external' });
  const modules: BuildOptions = { ...options, plugins: [], supported: {}, external: [] };
  const imports = { ...modules, plugins: steps, supported: options.supported ?? {} };
  return [
    { name: 'SDK v3, not bundled', path: unbundled },
    { name: DEFAULTS, ...(await built(folder, 'defaults', DEFAULT_OPTIONS)) },
    { name: 'the ES modules bundled', ...(await built(folder, 'modules', modules)) },
    ...(await Promise.all(
      steps.map(async ({ name }, last) => ({
        name: `… without ${name}`,
        ...(await built(folder, `step-${last}`, { ...modules, plugins: steps.slice(0, last + 1) })),
      })),
    )),
    { name: "… without import() of Node's modules", ...(await built(folder, 'imports', imports)) },
    { name: SHIPPED, ...(await shipped(folder)) },
    { name: FLOOR, path: fileURLToPath(new URL('by-hand.cjs', import.meta.url)) },
  ];
}

/** The function from the zip. */
export async function shipped(folder: string): Promise<Omit<Variant, 'name'>> {
  const { 'index.js': contents } = unzipSync((await bundle()).zip);
  if (!contents) throw new Error('the zip has no index.js');
  return save(folder, 'shipped', contents);
}

/** Builds a variant of the function. */
export async function built(folder: string, name: string, buildOptions: BuildOptions): Promise<Omit<Variant, 'name'>> {
  const { outputFiles } = await build({ ...buildOptions, outdir: folder, write: false });
  const [file] = outputFiles;
  if (!file) throw new Error(`esbuild made nothing of ${name}`);
  return save(folder, name, file.contents);
}

async function save(folder: string, name: string, contents: Uint8Array): Promise<Omit<Variant, 'name'>> {
  // Files named .js are ES modules in this project.
  const path = join(folder, `${name}.cjs`);
  await writeFile(path, contents);
  return { path, bytes: contents.length };
}
