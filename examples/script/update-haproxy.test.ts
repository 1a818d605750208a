import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect } from 'vitest';
import { pathWithAws } from '../../test/helpers/aws-cli.ts';
import { LIST, ONE, RUNNING, run, TEMPLATE, test, UPDATE, WITH_ONE } from './fixtures.ts';

describe('servers-to-keep.sh', () => {
  test('asks for the name of the group', async () => {
    const { code, stderr } = await run(LIST, [], process.env);
    expect(code).not.toBe(0);
    expect(stderr).toContain('the name of an Auto Scaling group is missing');
  });

  test('prints nothing and fails when the AWS CLI prints a part and then fails', async ({ folder }) => {
    const PATH = await pathWithAws(folder, ONE, 255);
    const { code, stdout } = await run(LIST, ['web'], { PATH });
    expect({ code, stdout }).toEqual({ code: 255, stdout: '' });
  });
});

describe('update-haproxy.sh', () => {
  test.for([
    ['EC2 fails half-way', ONE, 255, '', TEMPLATE],
    ['no server is left', '', 0, 'no server to keep in web', TEMPLATE],
    ['the template has no place for the servers', ONE, 0, 'template has no line @SERVERS@', WITH_ONE],
  ] as const)(
    'leaves HAProxy as it is, and fails, when %s',
    async ([, prints, status, message, template], { folder, update, configuration, reloads }) => {
      await writeFile(join(folder, 'template'), template);
      const { code, stderr } = await update(prints, { status });
      expect(code).not.toBe(0);
      expect(stderr).toContain(message);
      expect(await configuration()).toBe(RUNNING);
      expect(await reloads()).toBe(0);
    },
  );

  test('names a template that is missing', async ({ folder, update, configuration, reloads }) => {
    await rm(join(folder, 'template'));
    expect(await update(ONE)).toEqual({
      code: 1,
      stdout: '',
      stderr: `update-haproxy.sh: TEMPLATE is '${folder}/template'; expected a file that it may read\n`,
    });
    expect(await configuration()).toBe(RUNNING);
    expect(await reloads()).toBe(0);
  });

  test('says what it needs', async () => {
    const { code, stderr } = await run(UPDATE, ['web', 'template', 'haproxy.cfg'], process.env);
    expect(code).toBe(2);
    expect(stderr).toContain('expected AUTO-SCALING-GROUP TEMPLATE CONFIGURATION RELOAD-COMMAND...');
  });
});
