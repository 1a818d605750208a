import { mkdir, mkdtempDisposable, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type BuildOptions, build } from 'esbuild';
import options from '../../esbuild.config.mjs';
import { lambdaEnvironment } from '../local-aws/lambda.ts';

/** One way to build the function. */
export interface Variant {
  readonly name: string;
  /** A CommonJS file. */
  readonly path: string;
  /** `null` when the file needs node_modules. */
  readonly bytes: number | null;
}

export const DEFAULTS = "esbuild's defaults";
const SHIPPED = 'as shipped';

const DIST = fileURLToPath(new URL('../../dist', import.meta.url));

const DEFAULT_OPTIONS: BuildOptions = {
  absWorkingDir: options.absWorkingDir ?? '',
  entryPoints: ['src/handler.ts'],
  bundle: true,
  platform: 'node',
  minify: true,
  format: 'cjs',
};

/**
 * Makes a folder for variants. Disposing of the folder removes all its files. The folder is in the project, because a
 * variant that is not bundled needs the project's node_modules.
 */
export async function variantsFolder() {
  await mkdir(DIST, { recursive: true });
  return mkdtempDisposable(join(DIST, 'bench-'));
}

export function buildColdStartVariants(folder: string): Promise<Variant[]> {
  return Promise.all([
    buildVariant(folder, 'SDK not bundled', { ...DEFAULT_OPTIONS, packages: 'external' }),
    buildVariant(folder, DEFAULTS, DEFAULT_OPTIONS),
    buildVariant(folder, 'as shipped, but the SDK unchanged', { ...options, plugins: [] }),
    buildVariant(folder, SHIPPED, options),
  ]);
}

export function buildScaleInVariants(folder: string): Promise<Variant[]> {
  const entryPoints = ['scripts/bench/default-retry.ts'];
  return Promise.all([
    buildVariant(folder, SHIPPED, options),
    buildVariant(folder, "the SDK's default retry", { ...options, entryPoints }),
  ]);
}

async function buildVariant(folder: string, name: string, buildOptions: BuildOptions): Promise<Variant> {
  const { outputFiles } = await build({ ...buildOptions, outdir: folder, write: false });
  const [file] = outputFiles;
  if (!file) throw new Error(`esbuild made no file for the variant "${name}"`);
  // Files named .js are ES modules in this project.
  const path = join(folder, `${name.replace(/\W+/g, '-')}.cjs`);
  await writeFile(path, file.contents);
  return { name, path, bytes: buildOptions.packages === 'external' ? null : file.contents.length };
}

/** Lambda's environment, with the local EC2 endpoint. */
export function environment(endpointUrl: string): Record<string, string> {
  return { ...lambdaEnvironment('us-west-2'), AWS_ENDPOINT_URL: endpointUrl };
}
