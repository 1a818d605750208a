import { createHash } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { zipSync } from 'fflate';
import options from '../esbuild.config.mjs';

/** Where the bundle is written. */
export const ZIP_FILE = fileURLToPath(new URL('../dist/function.zip', import.meta.url));

/** The bundled function. */
export interface Bundle {
  readonly zip: Uint8Array;
  /** Bytes that Lambda has on disk after unzipping. */
  readonly unzippedBytes: number;
  /** SHA-256 of the zip in base64, as Lambda's `CodeSha256` shows it. */
  readonly sha256: string;
}

/** Bundles the function and zips it: the same bytes on every machine, from the same sources and lock file. */
export async function bundle(): Promise<Bundle> {
  const { outputFiles } = await build({ ...options, outdir: 'dist', write: false });
  const [file] = outputFiles;
  if (outputFiles.length !== 1 || file === undefined) {
    throw new Error(
      `esbuild made ${outputFiles.length} files (${outputFiles.map(({ path }) => path)}); expected index.js alone`,
    );
  }
  const zip = zipSync({ 'index.js': [file.contents, { ...REPRODUCIBLE, level: 9 }] });
  return { zip, unzippedBytes: file.contents.length, sha256: createHash('sha256').update(zip).digest('base64') };
}

const REPRODUCIBLE = {
  // Made of local date parts, because that is how the zip library takes it apart: every time zone gets the same stamp.
  mtime: new Date(1980, 0, 1),
  // Made on Unix, a regular file that everybody may read: Lambda runs as a user of its own.
  os: 3,
  attrs: 0o100644 << 16,
} as const;

if (import.meta.main) {
  const { zip, unzippedBytes, sha256 } = await bundle();
  await mkdir(dirname(ZIP_FILE), { recursive: true });
  await writeFile(ZIP_FILE, zip);
  console.log(`dist/function.zip  ${zip.length} bytes, ${unzippedBytes} unzipped\nCodeSha256         ${sha256}`);
}
