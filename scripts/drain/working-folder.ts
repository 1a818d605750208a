import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A folder for everything that a run leaves on disk while it runs. */
export interface WorkingFolder {
  readonly path: string;
  remove(): Promise<void>;
}

// Reads until this process is gone, however it went, then ends what would outlive it: HAProxy and consumers, by their process
// ids, and the folder, in which there may be read-only ones.
const SENTINEL = `
  cat
  for file in "$1"/*/haproxy.pid; do [ ! -f "$file" ] || kill "$(cat "$file")"; done
  for file in "$1"/*/*.group; do [ ! -f "$file" ] || kill -s KILL -- "-$(cat "$file")"; done
  if [ -d "$1" ]; then chmod -R u+w "$1" && rm -rf "$1"; fi
`;

/** Makes an empty folder that goes with this process, and HAProxy with it, even if this process is killed. */
export async function makeWorkingFolder(): Promise<WorkingFolder> {
  const path = await mkdtemp(join(tmpdir(), 'drain-'));
  // Detached, so that Ctrl-C in a terminal does not reach it.
  const sentinel = spawn('sh', ['-c', SENTINEL, 'sh', path], { stdio: ['pipe', 'ignore', 'ignore'], detached: true });
  const ended = once(sentinel, 'exit');
  return {
    path,
    async remove() {
      sentinel.stdin.end();
      const [code] = await ended;
      if (code !== 0) throw new Error(`${path} cannot be removed`);
    },
  };
}
