import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished, test, vi } from 'vitest';
import { fakeTerminal } from '../../test/helpers/terminal.ts';
import { write } from '../table.ts';
import { temporaryFolder } from '../temporary-folder.ts';
import { main } from './bench.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** The folders that benchmarks have in dist. */
function variantFolders(): string[] {
  const dist = `${ROOT}dist`;
  return existsSync(dist) ? readdirSync(dist).filter((name) => name.startsWith('bench-')) : [];
}

test('--help lists benchmarks and options', async () => {
  const { terminal, printed } = fakeTerminal();
  expect(await main(['--help'], {}, terminal)).toBe(0);
  for (const word of ['cold-start', 'scale-in', '--runs', '--json']) expect(printed.out).toContain(word);
});

test.each([
  ['--fast', "Unknown option '--fast'; npm run bench -- --help lists the options"],
  ['lukewarm', 'the benchmark is "lukewarm"; expected cold-start or scale-in'],
  ['--runs=0', '--runs is "0"; expected a whole number from 1'],
  ['--runs=many', '--runs is "many"; expected a whole number from 1'],
])('%s is refused', async (argument, message) => {
  await expect(main([argument], {}, fakeTerminal().terminal)).rejects.toThrow(message);
});

test('--json gives each column one type: a number, or null where there is no figure', async () => {
  const before = variantFolders();
  const { terminal, printed } = fakeTerminal();
  expect(await main(['scale-in', '--json'], {}, terminal, [2])).toBe(0);
  const [{ title, rows }] = JSON.parse(printed.out);
  expect(title).toContain('Mass scale-in');
  expect(rows).toMatchObject([
    { variant: 'as shipped', N: 2, tagged: 2, lost: 0, ratio: null },
    { variant: "the SDK's default retry", N: 2, tagged: 2, lost: 0, ratio: null },
  ]);
  for (const { variant: _, ratio: __, ...figures } of rows) {
    for (const [column, figure] of Object.entries(figures)) expect(figure, column).toBeTypeOf('number');
  }
  expect(printed.err).toContain('scale-in: N = 2, as shipped: 0 tagged\n');
  expect(variantFolders()).toEqual(before);
});

test('a table has a column for each figure, and a gap for a missing one', () => {
  const rows = [
    { variant: 'one', N: 1000, ratio: 1.05 },
    { variant: 'another', N: 5, ratio: null },
  ];
  expect(write({ title: 'A table', rows, notes: ['A note.'] })).toBe(
    ['A table', '  variant      N  ratio', '  one      1,000   1.05', '  another      5', '  A note.'].join('\n'),
  );
});

test('Ctrl-C ends it with one sentence, and leaves no folder and no process behind', async () => {
  const { path: TMPDIR, remove } = await temporaryFolder('bench-test-');
  onTestFinished(remove);
  const before = variantFolders();
  const child = spawn(process.execPath, ['scripts/bench/bench.ts', 'scale-in'], {
    cwd: ROOT,
    env: { ...process.env, TMPDIR, NO_COLOR: '1' },
    stdio: ['ignore', 'pipe', 'pipe'],
    // A process group of its own, which has no process left once all children have ended.
    detached: true,
  });
  const group = -(child.pid ?? Number.NaN);
  onTestFinished(() => void child.kill('SIGKILL'));
  const closed = once(child, 'close');
  const out = text(child.stdout);
  let err = '';
  child.stderr.on('data', (data) => {
    err += data;
  });
  // The first line comes when all processes run.
  await once(child.stderr, 'data');
  child.kill('SIGINT');
  expect({ code: (await closed)[0], out: await out }).toEqual({ code: 130, out: '' });
  expect(err).toMatch(/^(scale-in: .*\n)+npm run bench: interrupted\n$/);
  await vi.waitFor(() => expect(() => process.kill(group, 0)).toThrow('ESRCH'), { timeout: 30_000 });
  expect(readdirSync(TMPDIR)).toEqual([]);
  expect(variantFolders()).toEqual(before);
});
