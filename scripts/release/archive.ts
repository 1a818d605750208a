import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { gzipSync } from 'fflate';

// The template expects the zip at dist/function.zip; the rest needs no Node.js.
const CONTENTS = ['template.yaml', 'examples', 'docs', 'README.md', 'CHANGELOG.md', 'LICENSE'];

/** Room for the archive before it is compressed, many times what it has now. */
const MAX_BYTES = 100 * 1024 * 1024;

/**
 * Packs what it takes to deploy the commit that is checked out, with the zip: the same bytes on every machine.
 * @param root the project's folder, a git repository.
 * @param top the folder that all files have in common.
 * @param zip the bundled function, a file named function.zip.
 * @returns a tar file, compressed by gzip.
 * @throws Error when a file differs from the commit: the zip would be of one version and the rest of another.
 */
export async function archive(root: string, top: string, zip: string): Promise<Uint8Array> {
  const changes = await git(root, 'status', '--porcelain');
  if (changes.length > 0) throw new Error(`these files are not as committed; commit or remove them:\n${changes}`);
  const tar = await git(
    root,
    // Whatever the user has set: everybody may read, the owner may write, and lines end as they were committed.
    ...['-c', 'tar.umask=0022', '-c', 'core.autocrlf=false', 'archive', '--format=tar'],
    // A prefix holds for what is named after it.
    ...[`--prefix=${top}/dist/`, `--add-file=${zip}`, `--prefix=${top}/`, 'HEAD', ...CONTENTS],
  );
  return gzipSync(tar, { level: 9, mtime: 0 });
}

async function git(root: string, ...args: string[]): Promise<Buffer> {
  const options = { cwd: root, encoding: 'buffer', maxBuffer: MAX_BYTES } as const;
  const { stdout } = await promisify(execFile)('git', args, options);
  return stdout;
}
