import { makeTemporaryFolder, type TemporaryFolder } from '../aws/temporary-folder.ts';

// What outlives this process when it is killed: HAProxy and the consumers, by their process ids.
const END_OTHERS = `
  for file in "$1"/*/haproxy.pid; do [ ! -f "$file" ] || kill "$(cat "$file")"; done
  for file in "$1"/*/*.group; do [ ! -f "$file" ] || kill -s KILL -- "-$(cat "$file")"; done
`;

/** Makes an empty folder that goes with this process, and HAProxy and the consumers with it, even if it is killed. */
export function makeWorkingFolder(): TemporaryFolder {
  return makeTemporaryFolder('drain-', END_OTHERS);
}
