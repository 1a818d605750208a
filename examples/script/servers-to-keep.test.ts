import { describe, expect } from 'vitest';
import { pathWithAws } from '../../test/helpers/aws-cli.ts';
import { run } from '../fixtures.ts';
import { LIST, ONE, test } from './fixtures.ts';

describe('servers-to-keep.sh', () => {
  test('asks for the name of the group', async () => {
    const { code, stderr } = await run(LIST, []);
    expect(code).not.toBe(0);
    expect(stderr).toContain('the name of an Auto Scaling group is missing');
  });

  test('prints nothing and fails when the AWS CLI fails after a part of the answer', async ({ folder }) => {
    const PATH = await pathWithAws(folder, ONE, 255);
    expect(await run(LIST, ['web'], { env: { PATH } })).toEqual({ code: 255, stdout: '', stderr: '' });
  });

  test('fails instead of printing an empty list', async ({ folder }) => {
    const PATH = await pathWithAws(folder, '', 0);
    expect(await run(LIST, ['web'], { env: { PATH } })).toEqual({
      code: 1,
      stdout: '',
      stderr: 'servers-to-keep.sh: no server to keep in web; leave the load balancer as it is\n',
    });
  });
});
