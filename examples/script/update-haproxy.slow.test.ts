import { chmod, readdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect } from 'vitest';
import { skippedWithout } from '../../test/helpers/programs.ts';
import { ONE, TEMPLATE, test, UNCHANGED, UPDATE, WITH_ONE } from './fixtures.ts';

describe.skipIf(skippedWithout({ haproxy: '-v' }, UPDATE)).concurrent('update-haproxy.sh', () => {
  const TWO = 'i-00000002\\t10.0.0.2\\t8080\\n';
  const BOTH = '    server i-00000001 10.0.0.1:80\n    server i-00000002 10.0.0.2:8080';

  test('puts the servers into the template, and reloads', async ({ folder, update, haproxy }) => {
    expect(await update(TWO + ONE)).toEqual({
      code: 0,
      stdout: `update-haproxy.sh: 2 servers in ${folder}/haproxy.cfg, reloaded\n`,
      stderr: '',
    });
    expect(await haproxy()).toEqual({ configuration: TEMPLATE.replace('@SERVERS@', BOTH), reloads: 1 });
  });

  test('reloads only for a change, not for another order', async ({ folder, update, haproxy }) => {
    await update(ONE + TWO);
    expect(await update(TWO + ONE)).toEqual({ code: 0, stdout: '', stderr: '' });
    expect((await haproxy()).reloads).toBe(1);
    const files = await readdir(folder);
    expect(files.filter((name) => name.startsWith('haproxy'))).toEqual(['haproxy.cfg', 'haproxy.cfg.loaded']);
    await update(ONE);
    expect(await haproxy()).toEqual({ configuration: WITH_ONE, reloads: 2 });
  });

  test('replaces a configuration that somebody edited', async ({ folder, update, haproxy }) => {
    await update(ONE);
    await writeFile(join(folder, 'haproxy.cfg'), `${WITH_ONE}# by hand\n`);
    await update(ONE);
    expect(await haproxy()).toEqual({ configuration: WITH_ONE, reloads: 2 });
  });

  test('fails when the reload fails, and repeats the reload at the next run', async ({ update, haproxy }) => {
    expect((await update(ONE, { reload: 'false' })).code).not.toBe(0);
    expect((await update(ONE)).code).toBe(0);
    expect((await haproxy()).reloads).toBe(1);
  });

  test('fails and changes nothing when HAProxy refuses the configuration', async ({ update, haproxy }) => {
    const { code, stderr } = await update('i-00000001\\tNone\\t80\\n');
    expect(code).not.toBe(0);
    expect(stderr).toContain('could not resolve address');
    expect(await haproxy()).toEqual(UNCHANGED);
  });

  test('gives the configuration the mode of the template', async ({ folder, update }) => {
    await chmod(join(folder, 'template'), 0o600);
    await update(ONE);
    expect((await stat(join(folder, 'haproxy.cfg'))).mode & 0o777).toBe(0o600);
  });
});
