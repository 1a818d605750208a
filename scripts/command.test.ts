import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { describe, expect, it as test, vi } from 'vitest';
import { parseOptions } from './command.ts';
import { temporaryFolder } from './temporary-folder.ts';

const COMMAND = new URL('command.ts', import.meta.url);
const TEMPORARY_FOLDER = new URL('temporary-folder.ts', import.meta.url);

const it = test
  .extend('folder', async ({ onTestFinished }) => {
    const folder = await temporaryFolder('command-test-');
    onTestFinished(folder.remove);
    return folder.path;
  })
  /** Starts a command whose main function has this body. */
  .extend('start', ({ folder }) => (body: string, environment = {}, stdout: 'pipe' | number = 'pipe') => {
    const file = join(folder, 'command.ts');
    writeFileSync(
      file,
      `import { setTimeout as sleep } from 'node:timers/promises';
      import { runCommand } from '${COMMAND}';
      import { temporaryFolder } from '${TEMPORARY_FOLDER}';
      await runCommand('npm run x', async (args, environment, { out, err, signal }) => {
        ${body}
      }, 2);`,
    );
    const child = spawn(process.execPath, [file, '--one', 'two'], {
      env: { ...process.env, TMPDIR: folder, ...environment },
      stdio: ['ignore', stdout, 'pipe'],
    });
    async function end() {
      const [err, [code]] = await Promise.all([child.stderr ? text(child.stderr) : '', once(child, 'close')]);
      return { err, code };
    }
    return { child, ended: end() };
  });

// Ends only by the signal, and leaves a folder behind unless it cleans up.
const WAIT = "await using folder = await temporaryFolder('x-'); out(folder.path); await sleep(60_000, 0, { signal });";
const ENDLESS = "for (;;) { out('line'); await sleep(1); }";

describe('the options of a command', () => {
  const options = { stack: { type: 'string' }, json: { type: 'boolean' } } as const;
  const parse = (args: string[], environment = {}) => parseOptions('npm run x', environment, { args, options }).values;

  it('are read, also when the user has set an npm option of the same name', () => {
    expect(parse(['--stack', 'web', '--json'])).toEqual({ stack: 'web', json: true });
    expect(parse([], { npm_config_json: 'true' })).toEqual({});
  });

  it.for([
    [['--stcak', 'web'], "Unknown option '--stcak'"],
    [['--stack'], "Option '--stack <value>' argument missing"],
    [['--stack', '--json'], "Option '--stack' argument is ambiguous"],
    [['web'], 'Unexpected argument \'web\'; npm passes on only the options after "--"'],
  ] as const)('are refused in one sentence: %j', ([args, reason]) => {
    const message = `${reason}; npm run x -- --help lists the options`;
    expect(() => parse([...args])).toThrow(expect.objectContaining({ message }));
  });

  it('are refused when npm took one of them, because "--" is missing', () => {
    const config = { args: [], options: { 'same-as': { type: 'string' } } } as const;
    expect(() => parseOptions('npm run x', { npm_config_same_as: 'true' }, config)).toThrow(
      'npm took --same-as for its own option; expected "--" before it: npm run x -- --same-as',
    );
  });
});

describe('a command', () => {
  it('gets arguments and environment, prints on both outputs, and ends with its exit code', async ({ start }) => {
    const { child, ended } = start('out(args.join()); err(environment.COLOUR); return 3;', { COLOUR: 'red' });
    expect(child.stdout && (await text(child.stdout))).toBe('--one,two\n');
    expect(await ended).toEqual({ err: 'red\n', code: 3 });
  });

  it('that throws prints one red sentence, and ends with the failure code', async ({ start }) => {
    const { ended } = start("throw new TypeError('FILE is absent');", { FORCE_COLOR: '1' });
    expect(await ended).toEqual({ err: '\x1b[31mnpm run x: FILE is absent\x1b[39m\n', code: 2 });
  });

  it('that throws prints no control character of the sentence', async ({ start }) => {
    const { ended } = start(String.raw`throw new Error('is "\x1b[2K\x9b\u202e\u200b\u2028\u2029\ud800"\r\nnext');`);
    expect(await ended).toEqual({ err: 'npm run x: is "?[2K??????"?\nnext\n', code: 2 });
  });

  it.for([
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ] as const)('that gets %s cleans up, and ends with %i', async ([signal, code], { folder, start }) => {
    const { child, ended } = start(WAIT);
    child.stdout?.once('data', () => child.kill(signal));
    expect(await ended).toEqual({ err: 'npm run x: interrupted\n', code });
    expect(readdirSync(folder)).toEqual(['command.ts']);
  });

  it('that sees the end of its children before the signal says only that it was interrupted', async ({ start }) => {
    const { ended } = start("process.kill(process.pid, 'SIGINT'); throw new Error('a child has ended');");
    expect(await ended).toEqual({ err: 'npm run x: interrupted\n', code: 130 });
  });

  it('that fails in a callback cleans up, and prints the stack', async ({ folder, start }) => {
    const { ended } = start(`setImmediate(() => { throw new Error('a fault') }); ${WAIT}`);
    expect(await ended).toEqual({ err: expect.stringMatching(/^npm run x: Error: a fault\n {4}at /), code: 2 });
    expect(readdirSync(folder)).toEqual(['command.ts']);
  });

  it('whose output is closed says so in one sentence, and ends', async ({ start }) => {
    const { child, ended } = start(ENDLESS);
    child.stdout?.once('data', () => child.stdout?.destroy());
    expect(await ended).toEqual({ err: 'npm run x: the output cannot be written: write EPIPE\n', code: 2 });
  });

  it.skipIf(!existsSync('/dev/full'))('whose output is full says so in one sentence, and ends', async ({ start }) => {
    const full = openSync('/dev/full', 'w');
    const reason = 'ENOSPC: no space left on device, write';
    expect(await start(ENDLESS, {}, full).ended).toEqual({
      err: `npm run x: the output cannot be written: ${reason}\n`,
      code: 2,
    });
    closeSync(full);
  });
});

describe('a temporary folder', () => {
  it('is removed with all its files, also where the path has a space', async ({ folder }) => {
    const parent = join(folder, 'with a space');
    mkdirSync(parent);
    vi.stubEnv('TMPDIR', parent);
    {
      await using temporary = await temporaryFolder('x-');
      writeFileSync(join(temporary.path, 'file'), '', { mode: 0o444 });
      expect(readdirSync(parent).map((name) => join(parent, name))).toEqual([temporary.path]);
    }
    expect(readdirSync(parent)).toEqual([]);
  });

  it('names TMPDIR when the folder cannot be made', async ({ folder }) => {
    const path = join(folder, 'missing');
    vi.stubEnv('TMPDIR', path);
    const message = `TMPDIR is "${path}"; expected a folder that can be written to (ENOENT)`;
    await expect(temporaryFolder('x-')).rejects.toThrow(message);
  });
});
