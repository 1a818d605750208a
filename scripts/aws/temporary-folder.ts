import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A folder for what a command leaves on disk while it runs. */
export interface TemporaryFolder {
  readonly path: string;
  /** @throws Error when it cannot be removed. */
  remove(): Promise<void>;
}

// Reads until this process is gone, however it went. There may be read-only folders, from which only root may delete.
const SENTINEL = `
  cat
  eval "$2"
  if [ -d "$1" ]; then chmod -R u+w "$1" && rm -rf "$1"; fi
`;

/**
 * Makes an empty folder that goes with this process, even if this process is interrupted or killed.
 * @param atEnd shell commands to run before the folder is removed; `$1` is its path.
 */
export function makeTemporaryFolder(prefix: string, atEnd = ''): TemporaryFolder {
  const path = mkdtempSync(join(tmpdir(), prefix));
  // Detached, so that Ctrl-C in a terminal does not reach it.
  const sentinel = spawn('sh', ['-c', SENTINEL, 'sh', path, atEnd], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  });
  // A command that fails before it removes its folder must end all the same.
  sentinel.unref();
  const ended = once(sentinel, 'exit');
  return {
    path,
    async remove() {
      sentinel.ref();
      sentinel.stdin.end();
      const [code] = await ended;
      if (code !== 0) throw new Error(`${path} cannot be removed`);
    },
  };
}
