import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { skippedWithout } from '../test/helpers/programs.ts';
import { globalSection, startHaproxy } from './haproxy.ts';
import { temporaryFolder } from './temporary-folder.ts';

describe.skipIf(skippedWithout({ haproxy: '-v' }, 'the start of HAProxy'))('HAProxy', () => {
  let folder: Awaited<ReturnType<typeof temporaryFolder>>;
  beforeEach(async () => {
    folder = await temporaryFolder('a "folder" \\ ');
  });
  afterEach(() => folder.remove());

  test('answers after its start and after a reload, but not after its end', async () => {
    const haproxy = await startHaproxy(folder.path, globalSection(folder.path));
    try {
      const before = await haproxy.ask('show info');
      expect(before).toMatch(/^Pid: \d+$/m);
      await haproxy.reload();
      expect(/^Pid: .*/m.exec(await haproxy.ask('show info'))).not.toEqual(/^Pid: .*/m.exec(before));
    } finally {
      await haproxy.stop();
    }
    await expect(haproxy.ask('show info')).rejects.toThrow();
  });

  test('that refuses its configuration does not start, and the error quotes its words', async () => {
    const configuration = `${globalSection(folder.path)}backend web\n    server a nowhere.invalid:1\n`;
    await expect(startHaproxy(folder.path, configuration)).rejects.toThrow(
      /^haproxy does not start; it said: .*nowhere/s,
    );
  });
});
