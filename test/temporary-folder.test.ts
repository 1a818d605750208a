import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { makeTemporaryFolder } from '../scripts/aws/temporary-folder.ts';

// Makes a folder with a read-only one in it, in the folder that TMPDIR names, says so, and does what is given.
const COMMAND = `
  import { mkdirSync, writeFileSync } from 'node:fs';
  import { makeTemporaryFolder } from './scripts/aws/temporary-folder.ts';
  const { path } = makeTemporaryFolder('command-', process.argv[1]);
  mkdirSync(path + '/function');
  writeFileSync(path + '/function/index.js', '');
  mkdirSync(path + '/read-only', 0o555);
  console.log(path);
`;

async function run(then: string, atEnd = '') {
  const parent = makeTemporaryFolder('temporary-folder-test-');
  const child = spawn(process.execPath, ['--input-type=module-typescript', '-e', COMMAND + then, atEnd], {
    env: { ...process.env, TMPDIR: parent.path },
    stdio: ['ignore', 'pipe', 'inherit'],
    // With a process group of its own, which gets a signal as a terminal's does from Ctrl-C.
    detached: true,
  });
  await once(child.stdout, 'data');
  return { parent, child };
}

async function emptied(path: string) {
  for (const until = Date.now() + 10_000; Date.now() < until; await sleep(20)) {
    if (readdirSync(path).length === 0) return true;
  }
  return readdirSync(path);
}

describe('a temporary folder', () => {
  it.each(['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGKILL'] as const)(
    'goes with the command that made it, ended by %s',
    async (signal) => {
      const { parent, child } = await run('setInterval(() => {}, 1000);');
      process.kill(-(child.pid ?? 0), signal);
      expect(await emptied(parent.path)).toBe(true);
      await parent.remove();
    },
  );

  it('goes with a command that fails, and does not keep it from ending', async () => {
    const { parent, child } = await run('process.exitCode = 3;');
    if (child.exitCode === null) await once(child, 'exit');
    expect({ code: child.exitCode, emptied: await emptied(parent.path) }).toEqual({ code: 3, emptied: true });
    await parent.remove();
  });

  it('has commands run before it goes', async () => {
    const { parent } = await run('', 'mv "$1/function" "$1/../kept"');
    for (const until = Date.now() + 10_000; Date.now() < until && readdirSync(parent.path).join() !== 'kept'; ) {
      await sleep(20);
    }
    expect(readdirSync(join(parent.path, 'kept'))).toEqual(['index.js']);
    await parent.remove();
  });

  it('is gone once it is removed, with what is read-only in it', async () => {
    const folder = makeTemporaryFolder('temporary-folder-test-');
    mkdirSync(join(folder.path, 'a'));
    writeFileSync(join(folder.path, 'a', 'file'), '', { mode: 0o444 });
    mkdirSync(join(folder.path, 'b'), 0o555);
    await folder.remove();
    expect(existsSync(folder.path)).toBe(false);
  });
});
