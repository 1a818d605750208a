import { expect, test } from 'vitest';
import { fakeTerminal } from '../../test/helpers/terminal.ts';
import { main } from './bench.ts';

test.each([
  ['--fast', "Unknown option '--fast'; npm run bench -- --help lists the options"],
  ['lukewarm', 'the benchmark is "lukewarm"; expected cold-start or scale-in'],
  ['--runs=0', '--runs is "0"; expected a whole number from 1'],
  ['--runs=many', '--runs is "many"; expected a whole number from 1'],
])('%s is refused', async (argument, message) => {
  await expect(main([argument], {}, fakeTerminal().terminal)).rejects.toThrow(message);
});
