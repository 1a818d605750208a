import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, mkdtempDisposable, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { gzipSync } from 'fflate';
import { bundle } from './bundle.ts';
import { parseOptions, runCommand, type Terminal } from './command.ts';

const NAME = 'npm run release';
const USAGE = `${NAME}
Makes the files of a release from the commit that is checked out, in dist/release: the archive, the function's zip and
their SHA256SUMS. The same commit gives the same bytes on every machine.`;

const PROJECT = fileURLToPath(new URL('..', import.meta.url));
const MAX_ARCHIVE_BYTES = 100 * 1024 * 1024;

/** @param root a git repository, with a package.json. */
export async function main(
  args: readonly string[],
  environment: NodeJS.ProcessEnv,
  terminal: Terminal,
  root = PROJECT,
): Promise<number> {
  const { values } = parseOptions(NAME, environment, {
    args: [...args],
    options: { help: { type: 'boolean', short: 'h', default: false } },
  });
  if (values.help) {
    terminal.out(USAGE);
    return 0;
  }
  const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'));
  const name = `remove-from-lb-${version}`;
  const { zip } = await bundle();

  const dist = join(root, 'dist');
  await mkdir(dist, { recursive: true });
  // The new files replace those of an earlier release only when all of them are complete.
  await using folder = await mkdtempDisposable(join(dist, 'release-'));
  const release = join(folder.path, 'release');
  await mkdir(release);
  const zipFile = join(release, 'function.zip');
  await writeFile(zipFile, zip);
  const archive = await archiveCommit(root, name, zipFile);
  await writeFile(join(release, `${name}.tar.gz`), archive);
  const sums = `${sha256(zip)}  function.zip\n${sha256(archive)}  ${name}.tar.gz`;
  await writeFile(join(release, 'SHA256SUMS'), `${sums}\n`);

  terminal.signal.throwIfAborted();
  await rm(join(dist, 'release'), { recursive: true, force: true });
  await rename(release, join(dist, 'release'));
  terminal.out(`dist/release/SHA256SUMS\n${sums}`);
  return 0;
}

/**
 * Packs the zip at the path that the template expects, and every file of the commit, so that the links and commands of
 * the pages work.
 * @param top the folder that holds all files of the archive.
 * @returns a tar file, compressed with gzip.
 * @throws Error when a file differs from the commit, because the zip would not fit the other files.
 */
async function archiveCommit(root: string, top: string, zipFile: string): Promise<Uint8Array> {
  async function git(...args: string[]): Promise<Buffer> {
    const options = { cwd: root, encoding: 'buffer', maxBuffer: MAX_ARCHIVE_BYTES } as const;
    return (await promisify(execFile)('git', args, options)).stdout;
  }

  const changes = await git('status', '--porcelain');
  if (changes.length > 0) throw new Error(`these files differ from the commit; commit or remove them:\n${changes}`);
  const tar = await git(
    // These settings replace the user's. Everybody may read the files, and line ends stay as in the commit.
    ...['-c', 'tar.umask=0022', '-c', 'core.autocrlf=false', 'archive', '--format=tar'],
    // A prefix applies to the files named after it.
    ...[`--prefix=${top}/dist/`, `--add-file=${zipFile}`, `--prefix=${top}/`, 'HEAD'],
  );
  return gzipSync(tar, { level: 9, mtime: 0 });
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

if (import.meta.main) await runCommand(NAME, main);
