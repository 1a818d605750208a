import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test as base } from 'vitest';
import { temporaryFolder } from '../../scripts/temporary-folder.ts';
import { pathWithAws } from '../../test/helpers/aws-cli.ts';
import { run } from '../fixtures.ts';

export const LIST = 'examples/script/servers-to-keep.sh';
export const UPDATE = 'examples/script/update-haproxy.sh';

const TIMEOUT = execFileSync('sh', ['-c', 'command -v timeout'], { encoding: 'utf8' }).trim();

/** The AWS CLI's line for one instance, as `printf` takes it. */
export const ONE = 'i-00000001\\t10.0.0.1\\tnull\\n';
export const TWO = 'i-00000002\\t10.0.0.2\\t["8080"]\\n';
export const IPV6 = 'i-00000006\\t2001:db8:0:1:0:0:0:2\\tnull\\n';
export const TEMPLATE = `defaults
    mode http
    timeout connect 1s
    timeout client 1s
    timeout server 1s
frontend web
    bind 127.0.0.1:8000
    default_backend web
backend web
    default-server check
@SERVERS@
backend other
    server fixed 127.0.0.1:9000
`;
export const WITH_ONE = TEMPLATE.replace('@SERVERS@', '    server i-00000001 10.0.0.1:80');
/** HAProxy is untouched. */
export const UNCHANGED = { configuration: 'the configuration before the test\n', reloads: 0 };

interface Surroundings {
  readonly status?: number;
  readonly reload?: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** A test with its own folder, which holds a template, a configuration and an empty folder for temporary files. */
export const test = base
  .extend('folder', async ({ task: _ }, { onCleanup }) => {
    const folder = await temporaryFolder('script-');
    onCleanup(() => folder.remove());
    await writeFile(join(folder.path, 'template'), TEMPLATE);
    await writeFile(join(folder.path, 'haproxy.cfg'), UNCHANGED.configuration);
    await mkdir(join(folder.path, 'tmp'));
    return folder.path;
  })
  .extend('list', ({ folder }) => {
    /** Runs servers-to-keep.sh with an AWS CLI that prints this and ends with this status. */
    return async (args: string[], prints: string, { status = 0, env = {} }: Surroundings = {}) => {
      const PATH = await pathWithAws(folder, prints, status);
      return await run(LIST, args, { env: { ...process.env, PATH, ...env } });
    };
  })
  .extend('update', ({ folder }) => {
    /** Runs update-haproxy.sh with an AWS CLI that prints this and ends with this status. */
    return async (prints: string, { status = 0, reload = 'echo reload >> "$0/reloads"', env }: Surroundings = {}) => {
      const PATH = await pathWithAws(folder, prints, status);
      const args = ['web', join(folder, 'template'), join(folder, 'haproxy.cfg'), 'sh', '-c', reload, folder];
      return await run(UPDATE, args, { env: { ...process.env, PATH, ...env } });
    };
  })
  /** The configuration, and how often HAProxy was reloaded. */
  .extend('haproxy', ({ folder }) => async () => {
    const reloads = await readFile(join(folder, 'reloads'), 'utf8').catch(() => '');
    const configuration = await readFile(join(folder, 'haproxy.cfg'), 'utf8');
    return { configuration, reloads: reloads.split('\n').length - 1 };
  })
  .extend('endWhileHanging', ({ folder }) => {
    /**
     * Runs a script until its program of this name hangs, and ends the script with SIGTERM. The program has started
     * another process.
     * @returns the exit status, after every process has ended.
     */
    return async (program: string, file: string, args: string[], env: NodeJS.ProcessEnv = process.env) => {
      // `timeout` passes a signal on only after it has begun to wait for the program.
      const endless = `#!/bin/sh
sleep 1000 &
while [ -e /proc/$PPID/stat ] && ! grep -q '(timeout) S' /proc/$PPID/stat; do sleep 0.01; done
echo started >&2
wait
`;
      // The scripts' own limit would end the program too.
      const timeout = `#!/bin/sh\nshift\nexec ${TIMEOUT} 1000 "$@"\n`;
      for (const [name, text] of [
        [program, endless],
        ['timeout', timeout],
      ] as const) {
        await writeFile(join(folder, name), text, { mode: 0o755 });
      }
      const all = { ...env, PATH: `${folder}:${env.PATH}`, TMPDIR: join(folder, 'tmp') };
      const child = spawn(file, args, { env: all, stdio: ['ignore', 'ignore', 'pipe'] });
      // Emitted when no process has the pipe open any more.
      const closed = once(child, 'close');
      await once(child.stderr, 'data');
      child.kill('SIGTERM');
      const [status] = await closed;
      return status;
    };
  });
