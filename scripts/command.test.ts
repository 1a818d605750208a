import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { describe, expect, it as test, vi } from 'vitest';
import { parseOptions } from './command.ts';
import { temporaryFolder } from './temporary-folder.ts';

const it = test.extend('folder', async ({ onTestFinished }) => {
  const folder = await temporaryFolder('command-test-');
  onTestFinished(() => folder.remove());
  return folder.path;
});

describe('the options of a command', () => {
  const options = { stack: { type: 'string' }, json: { type: 'boolean' } } as const;

  it('are read', () => {
    expect(parseOptions('npm run x', {}, { args: ['--stack', 'web', '--json'], options }).values).toEqual({
      stack: 'web',
      json: true,
    });
  });

  it.each([
    [['--stcak', 'web'], "Unknown option '--stcak'; npm run x -- --help lists the options"],
    [['--stack'], "Option '--stack <value>' argument missing; npm run x -- --help lists the options"],
    [['--stack', '--json'], "Option '--stack' argument is ambiguous; npm run x -- --help lists the options"],
    [
      ['web'],
      'Unexpected argument \'web\'; npm passes on only the options after "--"; npm run x -- --help lists the options',
    ],
  ])('are refused in one sentence: %j', (args, message) => {
    expect(() => parseOptions('npm run x', {}, { args, options })).toThrow(expect.objectContaining({ message }));
  });

  it('are refused without "--" before them, because npm takes them', () => {
    const environment = { npm_config_same_as: 'true' };
    const config = { args: ['web'], options: { 'same-as': { type: 'string' } } } as const;
    expect(() => parseOptions('npm run x', environment, config)).toThrow(
      'npm took --same-as for its own option; expected "--" before it: npm run x -- --same-as',
    );
  });

  it('are read when the user has set an npm option of the same name', () => {
    const environment = { npm_config_json: 'true' };
    expect(parseOptions('npm run x', environment, { args: [], options }).values).toEqual({});
  });
});

describe('a command in a process of its own', () => {
  const commandUrl = new URL('command.ts', import.meta.url);
  const folderUrl = new URL('temporary-folder.ts', import.meta.url);

  /** Starts a command whose main function has this body. */
  function spawnCommand(folder: string, body: string, environment = {}, stdout: 'pipe' | number = 'pipe') {
    const file = join(folder, 'command.ts');
    writeFileSync(
      file,
      `import { setTimeout as sleep } from 'node:timers/promises';
      import { runCommand } from '${commandUrl}';
      import { temporaryFolder } from '${folderUrl}';
      await runCommand('npm run x', async (args, environment, { out, err, signal }) => {
        ${body}
      }, 2);`,
    );
    return spawn(process.execPath, [file, '--one', 'two'], {
      env: { ...process.env, TMPDIR: folder, ...environment },
      stdio: ['ignore', stdout, 'pipe'],
    });
  }

  const read = (stream: Readable | null) => (stream ? text(stream) : '');

  async function run(child: ReturnType<typeof spawnCommand>) {
    const [out, err, [code]] = await Promise.all([read(child.stdout), read(child.stderr), once(child, 'close')]);
    return { out, err, code };
  }

  it('gets arguments and environment, prints on both outputs, and ends with its exit code', async ({ folder }) => {
    const body = "out(args.join()); err(environment.TMPDIR === undefined ? 'empty' : 'full'); return 3;";
    expect(await run(spawnCommand(folder, body))).toEqual({ out: '--one,two\n', err: 'full\n', code: 3 });
  });

  it('that throws prints one red sentence, and ends with the failure code', async ({ folder }) => {
    const body = "throw new TypeError('FILE is absent');";
    expect(await run(spawnCommand(folder, body))).toEqual({
      out: '',
      err: 'npm run x: FILE is absent\n',
      code: 2,
    });
    const { err } = await run(spawnCommand(folder, body, { FORCE_COLOR: '1' }));
    expect(err).toBe('\x1b[31mnpm run x: FILE is absent\x1b[39m\n');
  });

  it.for([
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ] as const)('that gets %s cleans up, and ends with %i', async ([signal, code], { folder }) => {
    const body =
      "await using folder = await temporaryFolder('x-'); out(folder.path); await sleep(60_000, 0, { signal });";
    const child = spawnCommand(folder, body);
    child.stdout?.once('data', () => child.kill(signal));
    const ended = await run(child);
    expect(ended).toEqual({ out: expect.stringContaining(join(folder, 'x-')), err: 'npm run x: interrupted\n', code });
    expect(existsSync(ended.out.trim())).toBe(false);
  });

  it('that sees the end of its children before the signal says only that it was interrupted', async ({ folder }) => {
    const body = "process.kill(process.pid, 'SIGINT'); throw new Error('a child has ended');";
    expect(await run(spawnCommand(folder, body))).toEqual({ out: '', err: 'npm run x: interrupted\n', code: 130 });
  });

  it('that fails in a callback cleans up, prints the stack, and ends with the failure code', async ({ folder }) => {
    const body =
      "await using folder = await temporaryFolder('x-'); setImmediate(() => { throw new Error('a fault') }); await sleep(60_000, 0, { signal });";
    const { err, code } = await run(spawnCommand(folder, body));
    expect({ err, code }).toEqual({ err: expect.stringMatching(/^npm run x: Error: a fault\n {4}at /), code: 2 });
    expect(readdirSync(folder)).toEqual(['command.ts']);
  });

  const ENDLESS = "for (;;) { out('line'); await sleep(1); }";

  it('whose output is closed says so in one sentence, and ends', async ({ folder }) => {
    const child = spawnCommand(folder, ENDLESS);
    child.stdout?.once('data', () => child.stdout?.destroy());
    const [err, [code]] = await Promise.all([read(child.stderr), once(child, 'close')]);
    expect({ err, code }).toEqual({ err: 'npm run x: the output cannot be written: write EPIPE\n', code: 2 });
  });

  it.skipIf(!existsSync('/dev/full'))('whose output is full says so in one sentence, and ends', async ({ folder }) => {
    const full = openSync('/dev/full', 'w');
    const { err, code } = await run(spawnCommand(folder, ENDLESS, {}, full));
    closeSync(full);
    const reason = 'ENOSPC: no space left on device, write';
    expect({ err, code }).toEqual({ err: `npm run x: the output cannot be written: ${reason}\n`, code: 2 });
  });
});

describe('a temporary folder', () => {
  it('is removed with all its files, also where the path has a space', async ({ folder }) => {
    const parent = join(folder, 'with a space');
    mkdirSync(parent);
    vi.stubEnv('TMPDIR', parent);
    {
      await using temporary = await temporaryFolder('x-');
      mkdirSync(join(temporary.path, 'a'));
      writeFileSync(join(temporary.path, 'a', 'file'), '', { mode: 0o444 });
      expect(readdirSync(parent).map((name) => join(parent, name))).toEqual([temporary.path]);
    }
    expect(readdirSync(parent)).toEqual([]);
  });

  it('names TMPDIR when the folder cannot be made', async ({ folder }) => {
    writeFileSync(join(folder, 'file'), '');
    for (const [name, code] of [
      ['missing', 'ENOENT'],
      ['file', 'ENOTDIR'],
    ] as const) {
      const path = join(folder, name);
      vi.stubEnv('TMPDIR', path);
      const message = `TMPDIR is "${path}"; expected a folder that can be written to (${code})`;
      await expect(temporaryFolder('x-')).rejects.toThrow(message);
    }
  });
});
