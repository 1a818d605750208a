import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { programVersion } from '../../programs.ts';
import type { Consumer } from '../consumer.ts';
import { startProgram } from '../program.ts';

const SCRIPT = fileURLToPath(new URL('../../../examples/runtime-api/drain-tagged-servers.sh', import.meta.url));
const PAUSE_S = 1;
/** Mostly the time of the AWS CLI. */
const RUN_MS = 3000;

/** The script of `examples/runtime-api`, beside one HAProxy. */
export const runtimeApi: Consumer = {
  name: 'runtime-api',
  intervalMs: PAUSE_S * 1000 + RUN_MS,
  runMs: RUN_MS,
  reloads: false,
  lookEveryMs: PAUSE_S * 1000,
  async requirement(environment) {
    const aws = programVersion(['aws', '--version'], environment);
    return `AWS CLI ${aws}, socat ${programVersion(['socat', '-V'], environment)}`;
  },
  async start({ folder, statsSocket, group, environment, signal, onProgress }) {
    const state = join(folder, 'state');
    await mkdir(state);
    return startProgram(SCRIPT, [group, statsSocket], {
      signal,
      environment: { ...environment, STATE_DIRECTORY: state, INTERVAL: String(PAUSE_S) },
      failureIn(line) {
        // A line about a change begins with the socket. Every other line is a complaint of the script, the AWS CLI or socat.
        if (!line.startsWith(`${statsSocket}: `)) return line;
        onProgress(`         ${line.slice(statsSocket.length + 2)}`);
        return undefined;
      },
      // The script makes a file when EC2 and HAProxy have answered for the first time.
      hasRun: async () => (await readdir(state)).length > 0,
    });
  },
};
