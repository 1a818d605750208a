import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { zipSync } from 'fflate';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { skippedWithout } from '../../test/helpers/programs.ts';
import { fakeTerminal } from '../../test/helpers/terminal.ts';
import { temporaryFolder } from '../temporary-folder.ts';
import { main } from './drain.ts';
import type { Report } from './figures.ts';

let folder: string;
let removeFolder: () => Promise<void>;
beforeEach(async () => {
  ({ path: folder, remove: removeFolder } = await temporaryFolder('proof '));
});
afterEach(() => removeFolder());

// Each of these tests puts a real load on this machine. So the tests run one by one, in their own Vitest project.
describe.skipIf(skippedWithout({ haproxy: '-v' }, 'npm run drain'))('npm run drain', () => {
  beforeEach(() => void vi.stubEnv('TMPDIR', folder));

  test('no request is lost with the function, and some are without it', async () => {
    const { code, out, err, svg } = await drain('--short', '--json');
    expect({ code, err }).toEqual({ code: 0, err: expect.not.stringContaining('not proved') });
    const { scenarios, ...about } = JSON.parse(out) as Report;
    const version = expect.stringMatching(/^\d+\.\d+\.\d+/);
    expect(about).toEqual({ consumer: 'own', consumerVersion: 'part of the proof', haproxy: version, haproxies: 1 });
    expect(scenarios.map(({ name, consumer }) => [name, consumer])).toEqual([
      ['nothing', 'own'],
      ['careful', 'own'],
      ['function', 'own'],
    ]);
    expect(scenarios.map(({ lost }) => lost > 0)).toEqual([true, true, false]);
    const [nothing, careful, withFunction] = scenarios;
    expect(careful?.lost).toBeLessThan((nothing?.lost ?? 0) / 2);
    expect(withFunction).toMatchObject({ hookToTagMs: expect.any(Object), tagToOutMs: expect.any(Object) });
    for (const { sent, answered, lost, lostByCause, scaleIns, answeredAfterReturn } of scenarios) {
      expect({ sent, scaleIns }).toEqual({ sent: nothing?.sent, scaleIns: 3 });
      expect(answered + lost).toBe(sent);
      expect(Object.values(lostByCause).reduce((sum, count) => sum + count)).toBe(lost);
      expect(answeredAfterReturn).toBeGreaterThan(0);
      expect(svg).toContain(`${lost.toLocaleString('en')} of ${sent.toLocaleString('en')} requests lost`);
    }
    expect(svg).toContain('first tagged, then taken out of HAProxy, and only then killed');
    expect(await readdir(folder)).toEqual(['drain.svg']);
  });

  // The whole load takes 33 s, so the timeout fails a command that goes on.
  test('a comparison runs without the chosen consumer, until it is interrupted', { timeout: 30_000 }, async () => {
    const { stdout: haproxy } = await promisify(execFile)('sh', ['-c', 'command -v haproxy']);
    await symlink(haproxy.trim(), join(folder, 'haproxy'));
    const end = new AbortController();
    const { terminal } = fakeTerminal(end.signal);
    const out = (line: string) => (line.includes('killed') ? end.abort(new Error('under load')) : terminal.out(line));
    const args = ['--short', '--consumer', 'chef', '--scenario', 'nothing'];
    // This path has no Chef.
    await expect(main(args, { PATH: folder }, { ...terminal, out })).rejects.toThrow();
    expect(end.signal.reason).toEqual(new Error('under load'));
    expect(await readdir(folder)).toEqual(['haproxy']);
  });

  test('two HAProxies share the load, and lose no request', async () => {
    const { code, out, err } = await drain('--short', '--json', '--haproxies', '2', '--scenario', 'function');
    expect({ code, err }).toEqual({ code: 0, err: expect.stringContaining(', 2 of them') });
    expect(JSON.parse(out)).toMatchObject({ haproxies: 2, scenarios: [{ name: 'function', lost: 0 }] });
  });

  test('a function that sets no tag fails the run', async () => {
    const zip = join(folder, 'function.zip');
    const source = 'exports.handler = async () => {};';
    await writeFile(zip, zipSync({ 'index.js': new TextEncoder().encode(source) }));
    const { code, err, svg } = await drain('--short', '--scenario', 'function', '--zip', zip, '--heartbeat', '0.5');
    expect(code).toBe(1);
    expect(err).toContain('not proved: with the function: the function set no tag on i-');
    expect(err).toMatch(/[1-9]\d* of \d+ requests lost/);
    expect(svg).toContain('>not proved: with the function: the function set no tag on i-');
  });

  test.for([
    ['Ctrl-C under load', 'killed', 'group', 'SIGINT', 130],
    ['SIGTERM to the command alone while everything starts', 'with the function', 'alone', 'SIGTERM', 143],
  ] as const)('%s leaves nothing behind', async ([, moment, to, signal, code]) => {
    const command = start();
    const { pid = 0 } = command;
    await output(command, moment);
    expect(await processes(pid)).not.toEqual([]);
    const [exited, errors] = [once(command, 'exit'), text(command.stderr)];
    process.kill(to === 'group' ? -pid : pid, signal);
    expect((await exited)[0]).toBe(code);
    expect(await errors).toBe('npm run drain: interrupted\n');
    await nothingLeft(pid);
  });

  async function drain(...args: string[]) {
    const chart = join(folder, 'drain.svg');
    const { terminal, printed } = fakeTerminal();
    const code = await main([...args, '--chart', chart], process.env, terminal);
    return { code, ...printed, svg: await readFile(chart, 'utf8') };
  }

  /** Starts the command in a process group of its own, as a shell does. */
  function start() {
    const chart = join(folder, 'drain.svg');
    return spawn(process.execPath, ['scripts/proof/drain.ts', '--short', '--scenario', 'function', '--chart', chart], {
      env: process.env,
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
  }

  /** Waits until the command has printed these words. */
  async function output({ stdout }: ReturnType<typeof start>, words: string): Promise<void> {
    let printed = '';
    stdout.setEncoding('utf8');
    while (!printed.includes(words)) {
      const [chunk] = await Promise.race([once(stdout, 'data'), once(stdout, 'end')]);
      if (chunk === undefined) throw new Error(`the command ended, having printed ${printed}`);
      printed += chunk;
    }
    stdout.resume();
  }

  async function nothingLeft(group: number): Promise<void> {
    await vi.waitFor(async () => expect(await processes(group)).toEqual([]), 20_000);
    await vi.waitFor(async () => expect(await readdir(folder)).toEqual([]), 20_000);
  }

  /** The processes of this group, and those that name the folder. A zombie counts as ended. */
  async function processes(group: number): Promise<string[]> {
    const { stdout } = await promisify(execFile)('ps', ['-e', '-o', 'pgid=,stat=,args=']);
    return stdout
      .split('\n')
      .map((line) => line.trim())
      .filter((line) => line.startsWith(`${group} `) || line.includes(folder))
      .filter((line) => !/^\d+ +Z/.test(line));
  }
});
