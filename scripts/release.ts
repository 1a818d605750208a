import { createHash } from 'node:crypto';
import { existsSync, renameSync } from 'node:fs';
import { mkdir, mkdtempDisposable, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundle } from './bundle.ts';
import { type Main, parseOptions, runCommand } from './command.ts';
import { archive } from './release/archive.ts';

const NAME = 'npm run release';
const USAGE = `${NAME} -- TAG [--same-as SHA256]…
Makes the files of a release from the commit that is checked out:
  dist/release/          the archive, the function's zip and their SHA256SUMS
  dist/release-notes.md  the section of CHANGELOG.md about this version
  TAG                    "v" and the version of package.json; the newest version in CHANGELOG.md must be the same
  --same-as SHA256       demands that the function's zip has this SHA-256, in hexadecimal digits; another machine made it`;

const ROOT = fileURLToPath(new URL('..', import.meta.url));

/** What a release is made of. */
export interface Release {
  /** The project's folder, a git repository. */
  readonly root: string;
  readonly tag: string;
  /** The bundled function. */
  readonly zip: Uint8Array;
  /** Environment of git. */
  readonly environment: NodeJS.ProcessEnv;
  /** Ends the release early. */
  readonly signal: AbortSignal;
}

/**
 * Makes the files of a release beside those of the last release, and replaces these at the end.
 * @returns the text of SHA256SUMS.
 * @throws Error when the tag, package.json and CHANGELOG.md disagree, or when a file differs from the commit.
 */
export async function makeRelease({ root, tag, zip, environment, signal }: Release): Promise<string> {
  const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'));
  if (tag !== `v${version}`) {
    throw new Error(`the tag is ${JSON.stringify(tag)}; expected "v${version}", as package.json says`);
  }
  const notes = notesOf(version, await readFile(join(root, 'CHANGELOG.md'), 'utf8'));

  const dist = join(root, 'dist');
  await mkdir(dist, { recursive: true });
  await using folder = await mkdtempDisposable(join(dist, 'release-'));
  const release = join(folder.path, 'release');
  await mkdir(release);
  const zipFile = join(release, 'function.zip');
  await writeFile(zipFile, zip);
  const name = `remove-from-lb-${version}`;
  const packed = await archive(root, name, zipFile, { env: environment, signal });
  await writeFile(join(release, `${name}.tar.gz`), packed);
  const sums = `${sha256(zip)}  function.zip\n${sha256(packed)}  ${name}.tar.gz\n`;
  await writeFile(join(release, 'SHA256SUMS'), sums);
  await writeFile(join(folder.path, 'release-notes.md'), notes);

  signal.throwIfAborted();
  // Synchronous, so that an interruption comes either before or after.
  const [current, last] = [join(dist, 'release'), join(folder.path, 'last-release')];
  if (existsSync(current)) renameSync(current, last);
  try {
    renameSync(release, current);
  } catch (error) {
    if (existsSync(last)) renameSync(last, current);
    throw error;
  }
  renameSync(join(folder.path, 'release-notes.md'), join(dist, 'release-notes.md'));
  return sums;
}

/** The newest section of a text in the format of https://keepachangelog.com/en/1.1.0/, without its heading. */
function notesOf(version: string, changelog: string): string {
  const [, newest = ''] = changelog.split(/^## /m);
  const [heading = '', ...lines] = newest.split('\n');
  if (!heading.startsWith(`[${version}]`)) {
    throw new Error(
      `CHANGELOG.md's newest heading is ${JSON.stringify(heading)}; expected "[${version}]", as package.json says`,
    );
  }
  return `${lines.join('\n').trim()}\n`;
}

/** @throws Error when the zip has another SHA-256. */
export function demandSame(zip: Uint8Array, digest: string): void {
  if (!/^[0-9a-f]{64}$/.test(digest)) {
    throw new Error(`--same-as is ${JSON.stringify(digest)}; expected 64 hexadecimal digits`);
  }
  if (digest !== sha256(zip)) {
    throw new Error(`function.zip has the SHA-256 ${sha256(zip)} here; expected ${digest}, as another machine made it`);
  }
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

export const main: Main = async (args, environment, terminal) => {
  const { values, positionals } = parseOptions(NAME, environment, {
    args: [...args],
    options: {
      help: { type: 'boolean', short: 'h', default: false },
      'same-as': { type: 'string', multiple: true, default: [] },
    },
    allowPositionals: true,
  });
  if (values.help) {
    terminal.out(USAGE);
    return 0;
  }
  const [tag, ...others] = positionals;
  if (tag === undefined || others.length > 0) {
    throw new Error(`there are ${positionals.length} tags; expected one: ${NAME} -- TAG`);
  }
  const { zip } = await bundle();
  for (const digest of values['same-as']) demandSame(zip, digest);
  const sums = await makeRelease({ root: ROOT, tag, zip, environment, signal: terminal.signal });
  terminal.out(`dist/release/SHA256SUMS\n${sums}`);
  return 0;
};

if (import.meta.main) await runCommand(NAME, main);
