import { expect, test } from 'vitest';
import { write } from './table.ts';

test('a table has a column for each figure, and a gap for a missing one', () => {
  const rows = [
    { variant: 'one', N: 1000, ratio: 1.05 },
    { variant: 'another', N: 5, ratio: null },
  ];
  expect(write({ title: 'A table', rows, notes: ['A note.'] })).toBe(
    ['A table', '  variant      N  ratio', '  one      1,000   1.05', '  another      5', '  A note.'].join('\n'),
  );
});
