import { execFile } from 'node:child_process';
import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Consumer } from '../consumer.ts';
import { startProcessGroup } from '../process-group.ts';
import { awsCliVersion } from './aws-cli.ts';

const SCRIPT = fileURLToPath(new URL('../../../examples/runtime-api/drain-tagged-servers.sh', import.meta.url));
const PAUSE_S = 1;
/** From one question to the next is the pause and the run, of which the AWS CLI takes most. */
const RUN_MS = 3000;
const START_TIMEOUT_MS = 30_000;

/** The script of `examples/runtime-api`, beside one HAProxy. */
export const runtimeApi: Consumer = {
  name: 'runtime-api',
  intervalMs: PAUSE_S * 1000 + RUN_MS,
  runMs: RUN_MS,
  reloads: false,
  async requirement(environment) {
    const aws = await awsCliVersion(environment);
    return `${aws}, socat ${await socatVersion(environment)}`;
  },
  async start({ folder, statsSocket, group, environment, signal, onProgress }) {
    const failures: string[] = [];
    const state = join(folder, 'state');
    await mkdir(state);
    const script = await startProcessGroup(SCRIPT, [group, statsSocket], {
      signal,
      environment: { ...environment, STATE_DIRECTORY: state, INTERVAL: String(PAUSE_S) },
      onLine(line) {
        // A line about a change begins with the socket. Every other line is a complaint of the script, the AWS CLI or socat.
        if (line.startsWith(`${statsSocket}: `)) onProgress(`         ${line.slice(statsSocket.length + 2)}`);
        else failures.push(line);
      },
    });
    let stopping = false;
    const ended = script.ended.then((how) => {
      if (!stopping) failures.push(`drain-tagged-servers.sh ended: ${how}`);
    });
    const stop = async () => {
      stopping = true;
      await script.stop();
    };
    // It begins its record when EC2 and HAProxy have answered for the first time.
    for (const deadline = Date.now() + START_TIMEOUT_MS; (await readdir(state)).length === 0; await sleep(50)) {
      if (failures.length === 0 && Date.now() < deadline) continue;
      await stop();
      throw new Error(
        `drain-tagged-servers.sh has not begun: ${failures.join('; ') || 'no answer from EC2 or HAProxy'}`,
      );
    }
    return {
      failures,
      async stop() {
        await stop();
        await ended;
      },
    };
  },
};

async function socatVersion(env: NodeJS.ProcessEnv): Promise<string> {
  try {
    const { stdout } = await promisify(execFile)('socat', ['-V'], { env });
    return /socat version (\S+)/.exec(stdout)?.[1] ?? stdout;
  } catch (error) {
    throw new Error(
      'socat cannot be run; install it (Debian, Ubuntu: apt-get install socat; macOS: brew install socat)',
      { cause: error },
    );
  }
}
