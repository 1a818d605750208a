import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { filesIn } from './haproxy.ts';

test('a folder that is too long for the sockets is refused, with the length that fits', () => {
  expect(() => filesIn(join(tmpdir(), 'x'.repeat(107)))).toThrow(`TMPDIR is "${tmpdir()}"; expected at most `);
  expect(filesIn('/tmp/x').statsSocket).toBe('/tmp/x/stats.sock');
});
