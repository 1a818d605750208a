import { type ExecFileOptions, execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { gzipSync } from 'fflate';

/** Limit for the archive before it is compressed. */
const MAX_BYTES = 100 * 1024 * 1024;

/**
 * Packs the commit that is checked out and the zip, which lies where the template expects it: the same bytes on every
 * machine. The archive has every file of the commit, so that all links and commands of its pages work.
 * @param root the project's folder, a git repository.
 * @param top the folder that all files have in common.
 * @param zip the bundled function, a file named function.zip.
 * @returns a tar file, compressed by gzip.
 * @throws Error when a file differs from the commit: the zip would be of one version and the rest of another.
 */
export async function archive(
  root: string,
  top: string,
  zip: string,
  options: Pick<ExecFileOptions, 'env' | 'signal'>,
): Promise<Uint8Array> {
  async function git(...args: string[]): Promise<Buffer> {
    const { stdout } = await promisify(execFile)('git', args, {
      ...options,
      cwd: root,
      encoding: 'buffer',
      maxBuffer: MAX_BYTES,
    });
    return stdout;
  }

  const changes = await git('status', '--porcelain');
  if (changes.length > 0) throw new Error(`these files are not as committed; commit or remove them:\n${changes}`);
  const tar = await git(
    // Overrides the user's settings: everybody may read, the owner may write, and lines end as they were committed.
    ...['-c', 'tar.umask=0022', '-c', 'core.autocrlf=false', 'archive', '--format=tar'],
    // A prefix applies to the files named after it.
    ...[`--prefix=${top}/dist/`, `--add-file=${zip}`, `--prefix=${top}/`, 'HEAD'],
  );
  return gzipSync(tar, { level: 9, mtime: 0 });
}
