import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished, test, vi } from 'vitest';
import { fakeTerminal } from '../../test/helpers/terminal.ts';
import { main } from './bench.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** The folders of benchmarks in dist. */
function variantFolders(): string[] {
  const dist = `${ROOT}dist`;
  return existsSync(dist) ? readdirSync(dist).filter((name) => name.startsWith('bench-')) : [];
}

test('all benchmarks run, and show every variant with its figures', async () => {
  const before = variantFolders();
  const { terminal, printed } = fakeTerminal();
  expect(await main(['--runs', '1'], {}, terminal, [2])).toBe(0);
  const rowOf = (variant: string, figures: string) => new RegExp(`^ +${variant} +${figures}$`, 'm');
  for (const variant of ["esbuild's defaults", 'as shipped, but the SDK unchanged', 'as shipped']) {
    expect(printed.out).toMatch(rowOf(variant, '[\\d.,]+( +[\\d.,]+){5}'));
  }
  expect(printed.out).toMatch(rowOf('SDK not bundled', '[\\d.,]+( +[\\d.,]+){4}'));
  for (const variant of ['as shipped', "the SDK's default retry"]) {
    expect(printed.out).toMatch(rowOf(variant, '2 +2 +0 +[\\d.]+ +0'));
  }
  expect(printed.out).toMatch(rowOf('one script for all', '10 +2( +[\\d.]+){4}'));
  expect(printed.err).toContain('scale-in: N = 2, as shipped: 0 tagged\n');
  expect(variantFolders()).toEqual(before);
});

test('Ctrl-C ends it with one sentence, and leaves no folder and no process behind', async () => {
  const before = variantFolders();
  const child = spawn(process.execPath, ['scripts/bench/bench.ts', 'scale-in'], {
    cwd: ROOT,
    env: { ...process.env, NO_COLOR: '1' },
    stdio: ['ignore', 'pipe', 'pipe'],
    // In its own process group, which ends with its last process.
    detached: true,
  });
  const group = -(child.pid ?? Number.NaN);
  onTestFinished(() => void child.kill('SIGKILL'));
  const ended = Promise.all([once(child, 'close'), text(child.stdout), text(child.stderr)]);
  // The first line comes when the process of the copies runs.
  await once(child.stderr, 'data');
  child.kill('SIGINT');
  const [[code], out, err] = await ended;
  expect({ code, out }).toEqual({ code: 130, out: '' });
  expect(err).toMatch(/^(scale-in: .*\n)+npm run bench: interrupted\n$/);
  await vi.waitFor(() => expect(() => process.kill(group, 0)).toThrow('ESRCH'), { timeout: 30_000 });
  expect(variantFolders()).toEqual(before);
});
