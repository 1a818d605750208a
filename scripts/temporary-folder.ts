import { mkdtempDisposable } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/**
 * Makes an empty temporary folder. Disposing of the folder removes it with all its files.
 * @throws Error that names TMPDIR when the folder cannot be made.
 */
export async function temporaryFolder(prefix: string) {
  try {
    return await mkdtempDisposable(join(tmpdir(), prefix));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new Error(`TMPDIR is ${JSON.stringify(tmpdir())}; expected a folder that can be written to (${code})`, {
      cause: error,
    });
  }
}
