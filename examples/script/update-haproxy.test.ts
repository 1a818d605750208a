import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect } from 'vitest';
import { ONE, TEMPLATE, test, UNCHANGED, WITH_ONE } from './fixtures.ts';

describe('update-haproxy.sh', () => {
  test.for([
    ['EC2 fails half-way', ONE, 255, '', TEMPLATE],
    ['no server is left', '', 0, 'no server to keep in web', TEMPLATE],
    ['the template has no place for the servers', ONE, 0, 'template has no line @SERVERS@', WITH_ONE],
  ] as const)(
    'fails and changes nothing when %s',
    async ([, prints, status, message, template], { folder, update, haproxy }) => {
      await writeFile(join(folder, 'template'), template);
      const { code, stderr } = await update(prints, { status });
      expect(code).not.toBe(0);
      expect(stderr).toContain(message);
      expect(await haproxy()).toEqual(UNCHANGED);
    },
  );

  test('names a template that is missing', async ({ folder, update, haproxy }) => {
    await rm(join(folder, 'template'));
    expect(await update(ONE)).toEqual({
      code: 1,
      stdout: '',
      stderr: `update-haproxy.sh: TEMPLATE is '${folder}/template'; expected a file that can be read\n`,
    });
    expect(await haproxy()).toEqual(UNCHANGED);
  });
});
