import { createHash } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { zipSync } from 'fflate';
import options from '../esbuild.config.mjs';
import { type Main, parseOptions, runCommand, type Terminal } from './command.ts';

const NAME = 'npm run bundle';
const USAGE = `${NAME}
Bundles the function into dist/function.zip. The same commit gives the same bytes on every machine. Prints the zip's size
and the CodeSha256 that AWS Lambda shows for this zip.`;

export const ZIP_FILE = fileURLToPath(new URL('../dist/function.zip', import.meta.url));

export interface Bundle {
  readonly zip: Uint8Array;
  readonly unzippedBytes: number;
  /** SHA-256 of the zip in base64, as Lambda's `CodeSha256` shows it. */
  readonly sha256: string;
}

/** Bundles and zips the function. */
export async function bundle(buildOptions = options): Promise<Bundle> {
  const { outputFiles } = await build({ ...buildOptions, outdir: 'dist', write: false });
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
  // The zip library stores the local date and time, so only a date in local time is the same in every time zone.
  mtime: new Date(1980, 0, 1),
  // A regular Unix file that everybody may read, because Lambda runs as another user.
  os: 3,
  attrs: 0o100644 << 16,
} as const;

/**
 * Writes the bundled function to a file, and prints its size and hash.
 * @throws Error that names the file when it cannot be written.
 */
export async function writeBundle(file: string, terminal: Terminal, buildOptions = options): Promise<void> {
  const { zip, unzippedBytes, sha256 } = await bundle(buildOptions);
  terminal.signal.throwIfAborted();
  try {
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, zip);
  } catch (error) {
    throw new Error(`${file} cannot be written: ${(error as Error).message}`, { cause: error });
  }
  terminal.out(`dist/function.zip  ${zip.length} bytes, ${unzippedBytes} unzipped\nCodeSha256         ${sha256}`);
}

export const main: Main = async (args, environment, terminal) => {
  const { values } = parseOptions(NAME, environment, {
    args: [...args],
    options: { help: { type: 'boolean', short: 'h', default: false } },
  });
  if (values.help) terminal.out(USAGE);
  else await writeBundle(ZIP_FILE, terminal);
  return 0;
};

if (import.meta.main) await runCommand(NAME, main);
