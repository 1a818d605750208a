import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { filesIn, startHaproxy } from './haproxy.ts';

test('a folder is refused if the paths of its sockets are too long, with the length that fits', async () => {
  vi.stubEnv('TMPDIR', '/tmp/folder');
  // The longest path is /master.sock and a suffix for the process id.
  const longest = 107 - '/master.sock.1234567.tmp'.length;
  const folder = join(tmpdir(), 'x'.repeat(longest - tmpdir().length - 1));
  expect(filesIn(folder)).toMatchObject({ folder });
  await expect(startHaproxy(`${folder}xxx`, '')).rejects.toThrow(
    'TMPDIR is "/tmp/folder", 11 bytes long; expected at most 8 bytes',
  );
  expect(() => filesIn(`${folder}x`)).toThrow('expected at most 10 bytes');
});
