import { spawnSync } from 'node:child_process';
import { chmod, readdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect } from 'vitest';
import { line, named, test } from './fake-programs.ts';
import { SCRIPT } from './fixtures.ts';

const QUOTES = 'expected no quotation mark, no control character, no backslash at the end';
const NAMES = 'expected names of Auto Scaling groups, separated by colons';
const SOCKET = 'expected a path with a slash, ipv4@ADDRESS:PORT or ipv6@[ADDRESS]:PORT';

describe('drain-tagged-servers.sh', () => {
  test.for<[message: string, args: string[], settings: Record<string, string>]>([
    ['expected GROUP[:GROUP...] SOCKET...', ['web'], {}],
    ["INTERVAL is '2s'; expected seconds", ['web', '/s'], { INTERVAL: '2s' }],
    ["INTERVAL is '0.0'; expected seconds, more than 0", ['web', '/s'], { INTERVAL: '0.0' }],
    ["INTERVAL is '1.2.3'; expected seconds", ['web', '/s'], { INTERVAL: '1.2.3' }],
    [`TAG_KEY is 'it's'; ${QUOTES}`, ['web', '/s'], { TAG_KEY: "it's" }],
    [`TAG_VALUE is 'a "b"'; ${QUOTES}`, ['web', '/s'], { TAG_VALUE: 'a "b"' }],
    [`TAG_VALUE is 'a\n'; ${QUOTES}`, ['web', '/s'], { TAG_VALUE: 'a\n' }],
    [`TAG_VALUE is 'a\\'; ${QUOTES}`, ['web', '/s'], { TAG_VALUE: 'a\\' }],
    [`GROUP is ''; ${NAMES}`, ['', '/s'], {}],
    [`GROUP is 'blue:'; ${NAMES}`, ['blue:', '/s'], {}],
    [`GROUP is 'blue::green'; ${NAMES}`, ['blue::green', '/s'], {}],
    [`GROUP is 'a\tb'; ${NAMES}`, ['a\tb', '/s'], {}],
    [`SOCKET is 'admin.sock'; ${SOCKET}`, ['web', '/s', 'admin.sock'], {}],
    [`SOCKET is 'ipv4@10.0.0.5'; ${SOCKET}`, ['web', 'ipv4@10.0.0.5'], {}],
    [`SOCKET is 'ipv4@10.0.0.5:99,fork'; ${SOCKET}`, ['web', 'ipv4@10.0.0.5:99,fork'], {}],
    [`SOCKET is 'ipv6@2001:db8::5:9999'; ${SOCKET}`, ['web', 'ipv6@2001:db8::5:9999'], {}],
    ["COMPLETE_HOOK is 'my hook'; expected the name of a lifecycle hook", ['web', '/s'], { COMPLETE_HOOK: 'my hook' }],
  ])('refuses to start, with a status of its own: %s', ([message, args, settings], { folder }) => {
    expect(run(args, { PATH: `${folder}:${process.env.PATH}`, STATE_DIRECTORY: folder, ...settings })).toEqual({
      status: 2,
      stderr: `drain-tagged-servers.sh: ${message}\n`,
    });
  });

  test('refuses to start without a program that it needs', ({ folder }) => {
    expect(run(['web', '/s'], { PATH: join(folder, 'state'), STATE_DIRECTORY: folder })).toEqual({
      status: 2,
      stderr: 'drain-tagged-servers.sh: aws is not installed\n',
    });
  });

  test.for([0o720, 0o702])('refuses a state folder that others may write to: %o', async (mode, { folder }) => {
    const state = join(folder, 'state');
    await chmod(state, mode);
    expect(run(['web', '/s'], { PATH: `${folder}:${process.env.PATH}`, STATE_DIRECTORY: state })).toEqual({
      status: 2,
      stderr: `drain-tagged-servers.sh: STATE_DIRECTORY is '${state}/'; expected that nobody else may write to it\n`,
    });
  });

  test('refuses a state folder or a record of another user', async ({ folder, haproxy, drainTagged }) => {
    await haproxy({ web: named('a', 'b') });
    const script = await drainTagged();
    await script.look(line('i-0000000a'));
    await script.stop();
    const state = join(folder, 'state');
    const [record = ''] = await readdir(state);
    const environment = { PATH: `${folder}:${process.env.PATH}`, STATE_DIRECTORY: state };
    const args = ['web', join(folder, 'one.sock')];
    await writeFile(join(folder, 'id'), '#!/bin/sh\necho 4242\n', { mode: 0o755 });
    expect(run(args, environment)).toEqual({
      status: 2,
      stderr: `drain-tagged-servers.sh: STATE_DIRECTORY is '${state}/'; expected that this user owns it\n`,
    });
    // The folder belongs to the user, the record does not.
    const owner = `case $2 in */) echo "drwx------ 2 4242" ;; *) exec /bin/ls "$@" ;; esac`;
    await writeFile(join(folder, 'ls'), `#!/bin/sh\n${owner}\n`, { mode: 0o755 });
    expect(run(args, environment)).toEqual({
      status: 2,
      stderr: `drain-tagged-servers.sh: a record is '${join(state, record)}'; expected that this user owns it\n`,
    });
    await writeFile(join(folder, 'id'), '#!/bin/sh\nexec /usr/bin/id "$@"\n');
    await writeFile(join(folder, 'ls'), '#!/bin/sh\nexec /bin/ls "$@"\n');
    await chmod(join(state, record), 0o622);
    expect(run(args, environment).stderr).toContain('expected that nobody else may write to it');
  });

  test('refuses a record that is a symbolic link', async ({ folder, haproxy, drainTagged, remove }) => {
    await haproxy({ web: named('a', 'b') });
    const script = await drainTagged();
    await script.look(line('i-0000000a'));
    await script.stop();
    const [record = ''] = await readdir(join(folder, 'state'));
    const path = join(folder, 'state', record);
    await remove(`state/${record}`);
    await symlink('/nowhere', path);
    const environment = { PATH: `${folder}:${process.env.PATH}`, STATE_DIRECTORY: join(folder, 'state') };
    expect(run(['web', join(folder, 'one.sock')], environment)).toEqual({
      status: 2,
      stderr: `drain-tagged-servers.sh: a record is '${path}'; expected no symbolic link\n`,
    });
  });

  test('ends with another status than a wrong setting when no process can be started', async ({
    folder,
    haproxy,
    drainTagged,
  }) => {
    await haproxy({ web: named('a', 'b') });
    await writeFile(join(folder, 'sleep'), '#!/bin/sh\nexit 2\n', { mode: 0o755 });
    const script = await drainTagged();
    await script.reply(line('i-0000000a'));
    expect(await script.ended).toEqual([1, null]);
  });

  test.for([true, false])(
    'ends everything on SIGTERM, as the leader of a process group: %s',
    async (detached, { folder, haproxy, drainTagged, read, commands }) => {
      const ids = Array.from({ length: 88 }, (_, n) => `i-${(n + 0x10000000).toString(16)}`);
      await haproxy({ web: named(...ids, 'other') });
      // The third drain waits in the middle.
      await writeFile(join(folder, 'one.sock.blocks'), `web/${ids[2]}`);
      const script = await drainTagged({ detached });
      const group = await script.group();
      await script.reply(...ids.map((id) => line(id, 'tagged')));
      await script.waitFor(() => read('blocked').length > 0);
      script.process.kill('SIGTERM');
      await script.ended;
      await script.waitFor(() => !isAlive(group));
      expect(commands().filter((command) => command.includes('set server'))).toHaveLength(3);
    },
  );
});

/** Whether a process of the group runs. A zombie has ended. */
function isAlive(group: number): boolean {
  const { stdout } = spawnSync('ps', ['-Ao', 'pgid=,stat='], { encoding: 'utf8' });
  const states = stdout
    .trim()
    .split('\n')
    .map((row) => row.trim().split(/\s+/));
  return states.some(([pgid, state]) => pgid === String(group) && !state?.startsWith('Z'));
}

function run(args: string[], env: NodeJS.ProcessEnv) {
  const { status, stderr } = spawnSync('/bin/sh', [SCRIPT, ...args], { env, encoding: 'utf8' });
  return { status, stderr };
}
