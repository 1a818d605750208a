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
  async start({ folder, statsSockets, completeHook, group, environment, signal, onProgress }) {
    const state = join(folder, 'state');
    await mkdir(state, { mode: 0o700 });
    return startProgram(SCRIPT, [group, ...statsSockets], {
      signal,
      environment: {
        ...environment,
        STATE_DIRECTORY: state,
        INTERVAL: String(PAUSE_S),
        ...(completeHook && { COMPLETE_HOOK: completeHook }),
      },
      failureIn(line) {
        // A line about a change begins with the socket or the instance. Every other line is a complaint of the script,
        // the AWS CLI or socat.
        const changed = statsSockets.find((socket) => line.startsWith(`${socket}: `));
        if (changed === undefined && !/^i-[0-9a-f]+: /.test(line)) return line;
        onProgress(`         ${changed ? line.slice(changed.length + 2) : line}`);
        return undefined;
      },
      // The script makes a file for each socket when EC2 and HAProxy have answered for the first time.
      hasRun: async () => (await readdir(state)).length >= statsSockets.length,
    });
  },
};
