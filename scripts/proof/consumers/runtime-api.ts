import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { programVersion } from '../../programs.ts';
import type { Consumer } from '../consumer.ts';
import { startProcessGroup } from '../process-group.ts';

const SCRIPT = fileURLToPath(new URL('../../../examples/runtime-api/drain-tagged-servers.sh', import.meta.url));
const PAUSE_S = 1;
/** Mostly the time of the AWS CLI. */
const RUN_MS = 3000;
const START_TIMEOUT_MS = 30_000;

/** The script of `examples/runtime-api`, beside one HAProxy. */
export const runtimeApi: Consumer = {
  name: 'runtime-api',
  intervalMs: PAUSE_S * 1000 + RUN_MS,
  runMs: RUN_MS,
  reloads: false,
  async requirement(environment) {
    const aws = programVersion(['aws', '--version'], environment);
    return `AWS CLI ${aws}, socat ${programVersion(['socat', '-V'], environment)}`;
  },
  async start({ folder, statsSocket, group, environment, signal, onProgress }) {
    const failures: string[] = [];
    const state = join(folder, 'state');
    await mkdir(state);
    const script = await startProcessGroup(SCRIPT, [group, statsSocket], {
      signal,
      environment: { ...environment, STATE_DIRECTORY: state, INTERVAL: String(PAUSE_S) },
      onLine(line) {
        // A line about a change begins with the socket. Other lines are errors of the script, the AWS CLI or socat.
        if (line.startsWith(`${statsSocket}: `)) onProgress(`         ${line.slice(statsSocket.length + 2)}`);
        else failures.push(line);
      },
      onEnd: (how) => void failures.push(`drain-tagged-servers.sh ended: ${how}`),
    });
    // The script makes a file when EC2 and HAProxy have answered for the first time.
    for (const deadline = Date.now() + START_TIMEOUT_MS; (await readdir(state)).length === 0; await sleep(50)) {
      if (failures.length === 0 && Date.now() < deadline) continue;
      await script.stop();
      throw new Error(
        `drain-tagged-servers.sh has not begun: ${failures.join('; ') || 'no answer from EC2 or HAProxy'}`,
      );
    }
    return { failures, stop: script.stop };
  },
};
