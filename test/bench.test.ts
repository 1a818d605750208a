import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished, test, vi } from 'vitest';

const SCRIPT = fileURLToPath(new URL('../scripts/bench.ts', import.meta.url));

function bench(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [SCRIPT, ...args], { encoding: 'utf8' });
  return { status, stdout, stderr };
}

test('--help says what there is, and succeeds', () => {
  const { status, stdout, stderr } = bench('--help');
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  for (const word of ['cold-start', 'scale-in', 'concurrency', '--runs', '--markdown', '--json']) {
    expect(stdout).toContain(word);
  }
});

test.each([
  ['--fast', "Unknown option '--fast'"],
  ['lukewarm', 'no benchmark lukewarm'],
  ['--runs=0', '--runs is 0'],
])('%s is refused with what was expected', (argument, message) => {
  const { status, stdout, stderr } = bench(argument);
  expect({ status, stdout, stderr }).toEqual({ status: 1, stdout: '', stderr: expect.stringContaining(message) });
  expect(stderr).toContain('; expected ');
});

test('--json gives a table for each benchmark asked for', () => {
  const tables = JSON.parse(bench('concurrency', '--json').stdout);
  expect(tables).toMatchObject([{ title: expect.stringContaining('copies'), rows: { length: 16 } }]);
});

test.each(['SIGINT', 'SIGTERM'] as const)('%s leaves no folder and no process behind', async (signal) => {
  const folder = await mkdtemp(join(tmpdir(), 'bench-test-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  const child = spawn(process.execPath, [SCRIPT, 'scale-in'], {
    env: { ...process.env, TMPDIR: folder },
    stdio: ['ignore', 'ignore', 'pipe'],
    // A process group of its own, by which to find its children.
    detached: true,
  });
  const group = -(child.pid ?? Number.NaN);
  // Its first word comes when its processes run.
  await once(child.stderr, 'data');
  child.kill(signal);
  await once(child, 'exit');
  await vi.waitFor(() => expect(() => process.kill(group, 0)).toThrow('ESRCH'), { timeout: 10_000 });
  expect(await readdir(folder)).toEqual([]);
});
