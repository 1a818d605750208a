import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { fakeTerminal } from '../../test/helpers/terminal.ts';
import { main } from './bench.ts';

test.each([
  ['--fast', "Unknown option '--fast'; npm run bench -- --help lists the options"],
  ['lukewarm', 'the benchmark is "lukewarm"; expected one of cold-start, scale-in, consumers'],
  ['--runs=0', '--runs is "0"; expected a whole number from 1'],
  ['--runs=many', '--runs is "many"; expected a whole number from 1'],
])('%s is refused', async (argument, message) => {
  await expect(main([argument], {}, fakeTerminal().terminal)).rejects.toThrow(message);
});

test('the page about consumers shows the table of many HAProxies as it is', async () => {
  const page = readFileSync(new URL('../../docs/load-balancers.md', import.meta.url), 'utf8');
  const inPage = [...page.matchAll(/^\| ((?:variant|a script each,|one script for all) .*) \|$/gm)].map(
    ([, row = '']) => row.split(' | '),
  );
  const { terminal, printed } = fakeTerminal();
  expect(await main(['consumers'], {}, terminal)).toBe(0);
  const [, ...rows] = printed.out.split('\n').map((line) => line.trim().split(/ {2,}/));
  expect(inPage).toEqual(rows.filter((row) => row.length > 1));
});

test('Ctrl-C ends the simulation between two rows', async () => {
  const interrupted = new AbortController();
  const { terminal, printed } = fakeTerminal(interrupted.signal);
  setImmediate(() => interrupted.abort());
  await expect(main(['consumers'], {}, terminal)).rejects.toThrow('aborted');
  expect(printed.err).not.toContain('200 HAProxies');
});
