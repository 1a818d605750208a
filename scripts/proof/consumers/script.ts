import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { programVersion } from '../../programs.ts';
import { type Consumer, runEvery } from '../consumer.ts';

const run = promisify(execFile);
const SCRIPT = fileURLToPath(new URL('../../../examples/script/update-haproxy.sh', import.meta.url));

/** The script of `examples/script`, at an interval, as a timer of systemd starts it. */
export const script: Consumer = {
  name: 'script',
  intervalMs: 3000,
  // Mostly the time of the AWS CLI. The rest is the check of the configuration and the reload.
  runMs: 3000,
  reloads: true,
  requirement: async (environment) =>
    `AWS CLI ${programVersion(['aws', '--version'], environment)}, socat ${programVersion(['socat', '-V'], environment)}`,
  async start({
    folder,
    configFile,
    pidFile,
    statsSocket,
    staticConfiguration,
    serverPort,
    group,
    environment,
    onProgress,
  }) {
    const template = join(folder, 'haproxy.cfg.template');
    await writeFile(template, `${staticConfiguration}@SERVERS@\n`);
    const reload = ['sh', '-c', 'kill -USR2 "$(cat "$0")"', pidFile];
    const env = { ...environment, PORT: String(serverPort), STATS_SOCKET: statsSocket };
    return runEvery(script.intervalMs, async () => {
      const { stdout } = await run(SCRIPT, [group, template, configFile, ...reload], { env });
      if (stdout) onProgress(`         ${stdout.trim()}`);
    });
  },
};
