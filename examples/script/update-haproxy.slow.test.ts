import { chmod, readdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect } from 'vitest';
import { startEc2Endpoint } from '../../scripts/local-aws/ec2-endpoint.ts';
import type { Instance } from '../../scripts/local-aws/ec2-instances.ts';
import { awsCli } from '../../test/helpers/aws-cli.ts';
import { skippedWithout } from '../../test/helpers/programs.ts';
import { LIST, ONE, RUNNING, run, TEMPLATE, test, UPDATE, WITH_ONE } from './fixtures.ts';

const listTest = test
  .extend('ec2', async ({ task: _ }, { onCleanup }) => {
    const ec2 = await startEc2Endpoint();
    onCleanup(() => ec2.close());
    return ec2;
  })
  .extend(
    'given',
    ({ ec2 }) =>
      (id: string, privateIpAddress: string, tags: Record<string, string> = {}, state?: Instance['state']) => {
        const all = { 'aws:autoscaling:groupName': 'web', ...tags };
        ec2.instances.set(id, { tags: new Map(Object.entries(all)), privateIpAddress, ...(state && { state }) });
      },
  )
  .extend(
    'serversToKeep',
    ({ ec2 }) =>
      (group: string, settings: Record<string, string> = {}) =>
        run(LIST, [group], awsCli(ec2.url, settings)),
  );

describe.skipIf(skippedWithout({ aws: '--version' }, LIST)).concurrent('servers-to-keep.sh', () => {
  listTest(
    'prints the running instances of the group that do not carry the removal tag',
    async ({ given, serversToKeep }) => {
      given('i-00000001', '10.0.0.1', { name: 'kept' });
      given('i-00000002', '10.0.0.2', { remove_from_lb: 'yes' });
      given('i-00000003', '10.0.0.3', { remove_from_lb: 'no', 'HAProxy:Service:Port': '8080' });
      given('i-00000004', '10.0.0.4', { 'aws:autoscaling:groupName': 'another' });
      const states = ['pending', 'shutting-down', 'terminated', 'stopping', 'stopped'] as const;
      for (const [n, state] of states.entries()) given(`i-1000000${n}`, '10.0.0.9', {}, state);
      expect(await serversToKeep('web')).toEqual({
        code: 0,
        stdout: 'i-00000001\t10.0.0.1\t80\ni-00000003\t10.0.0.3\t8080\n',
        stderr: '',
      });
    },
  );

  listTest('takes the tag that the function was set to, and the port', async ({ given, serversToKeep }) => {
    given('i-00000001', '10.0.0.1', { drain: 'now' });
    given('i-00000002', '10.0.0.2', { remove_from_lb: 'yes' });
    const { stdout } = await serversToKeep('web', { TAG_KEY: 'drain', TAG_VALUE: 'now', PORT: '8000' });
    expect(stdout).toBe('i-00000002\t10.0.0.2\t8000\n');
  });

  listTest('prints every page of a large group', async ({ ec2, given, serversToKeep }) => {
    const ids = Array.from({ length: 1001 }, (_, n) => `i-1${n.toString().padStart(7, '0')}`);
    for (const id of ids) given(id, '10.0.0.1');
    const { stdout } = await serversToKeep('web');
    expect(stdout).toBe(ids.map((id) => `${id}\t10.0.0.1\t80\n`).join(''));
    expect(ec2.calls.map(({ parameters }) => parameters.get('MaxResults'))).toEqual(['1000', '1000']);
  });

  listTest('takes a group by its whole name, commas and all', async ({ given, serversToKeep }) => {
    given('i-00000001', '10.0.0.1');
    given('i-00000002', '10.0.0.2', { 'aws:autoscaling:groupName': 'web,api' });
    const { stdout } = await serversToKeep('web,api');
    expect(stdout).toBe('i-00000002\t10.0.0.2\t80\n');
  });

  listTest('fails rather than printing an empty list', async ({ given, serversToKeep }) => {
    given('i-00000001', '10.0.0.1', { remove_from_lb: 'yes' });
    const { code, stdout, stderr } = await serversToKeep('web');
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toContain('no server to keep in web');
  });

  listTest('fails when EC2 does', async ({ ec2, serversToKeep }) => {
    ec2.faults.push({ status: 403, code: 'UnauthorizedOperation' });
    const { code, stdout, stderr } = await serversToKeep('web');
    expect(code).not.toBe(0);
    expect(stdout).toBe('');
    expect(stderr).toContain('UnauthorizedOperation');
  });
});

describe.skipIf(skippedWithout({ haproxy: '-v' }, UPDATE)).concurrent('update-haproxy.sh', () => {
  const TWO = 'i-00000002\\t10.0.0.2\\t8080\\n';
  const WITH_BOTH = TEMPLATE.replace(
    '@SERVERS@',
    '    server i-00000001 10.0.0.1:80\n    server i-00000002 10.0.0.2:8080',
  );

  test('puts the servers into the place that the template has for them, and reloads', async ({
    folder,
    update,
    configuration,
    reloads,
  }) => {
    expect(await update(TWO + ONE)).toEqual({
      code: 0,
      stdout: `update-haproxy.sh: 2 servers in ${folder}/haproxy.cfg, reloaded\n`,
      stderr: '',
    });
    expect(await configuration()).toBe(WITH_BOTH);
    expect(await reloads()).toBe(1);
  });

  test('reloads only for a change; another order of the instances is no change', async ({
    folder,
    update,
    configuration,
    reloads,
  }) => {
    await update(ONE + TWO);
    const { code, stdout } = await update(TWO + ONE);
    expect({ code, stdout }).toEqual({ code: 0, stdout: '' });
    expect(await reloads()).toBe(1);
    await update(ONE);
    expect(await configuration()).toBe(WITH_ONE);
    expect(await reloads()).toBe(2);
    expect((await readdir(folder)).filter((name) => name.startsWith('haproxy'))).toEqual([
      'haproxy.cfg',
      'haproxy.cfg.loaded',
    ]);
  });

  test('writes and reloads again after somebody edited the configuration', async ({
    folder,
    update,
    configuration,
    reloads,
  }) => {
    await update(ONE);
    await writeFile(join(folder, 'haproxy.cfg'), `${WITH_ONE}# by hand\n`);
    await update(ONE);
    expect(await configuration()).toBe(WITH_ONE);
    expect(await reloads()).toBe(2);
  });

  test('fails when the reload does, and tries again at the next run', async ({ update, reloads }) => {
    expect((await update(ONE, { reload: 'false' })).code).not.toBe(0);
    const { code } = await update(ONE);
    expect(code).toBe(0);
    expect(await reloads()).toBe(1);
  });

  test('leaves HAProxy as it is, and fails, when HAProxy refuses the configuration', async ({
    update,
    configuration,
    reloads,
  }) => {
    const { code, stderr } = await update('i-00000001\\tNone\\t80\\n');
    expect(code).not.toBe(0);
    expect(stderr).toContain('could not resolve address');
    expect(await configuration()).toBe(RUNNING);
    expect(await reloads()).toBe(0);
  });

  test('gives the configuration the mode of the template', async ({ folder, update }) => {
    await chmod(join(folder, 'template'), 0o600);
    await update(ONE);
    expect((await stat(join(folder, 'haproxy.cfg'))).mode & 0o777).toBe(0o600);
  });
});
