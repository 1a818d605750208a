import { execFile } from 'node:child_process';
import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Ec2Endpoint, startEc2Endpoint } from '../scripts/aws/ec2-endpoint.ts';
import type { Instance } from '../scripts/aws/ec2-instances.ts';
import { awsCli, pathWithAws } from './aws-cli.ts';
import { skippedWithout } from './programs.ts';

let folder: string;
let ec2: Ec2Endpoint;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'script-'));
  ec2 = await startEc2Endpoint();
});
afterEach(async () => {
  await ec2.close();
  await rm(folder, { recursive: true });
});

const LIST = 'examples/script/servers-to-keep.sh';
describe.skipIf(skippedWithout({ aws: '--version' }, LIST))('servers-to-keep.sh', () => {
  test('prints the running instances of the group that do not carry the removal tag', async () => {
    given('i-00000001', '10.0.0.1', { name: 'kept' });
    given('i-00000002', '10.0.0.2', { remove_from_lb: 'yes' });
    given('i-00000003', '10.0.0.3', { remove_from_lb: 'no', 'HAProxy:Service:Port': '8080' });
    given('i-00000004', '10.0.0.4', { 'aws:autoscaling:groupName': 'another' });
    const states = ['pending', 'shutting-down', 'terminated', 'stopping', 'stopped'] as const;
    for (const [n, state] of states.entries()) given(`i-1000000${n}`, '10.0.0.9', {}, state);
    const { code, stdout, stderr } = await serversToKeep('web');
    expect({ code, stdout, stderr }).toEqual({
      code: 0,
      stdout: 'i-00000001\t10.0.0.1\t80\ni-00000003\t10.0.0.3\t8080\n',
      stderr: '',
    });
  });

  test('takes the tag that the function was set to, and the port', async () => {
    given('i-00000001', '10.0.0.1', { drain: 'now' });
    given('i-00000002', '10.0.0.2', { remove_from_lb: 'yes' });
    const { stdout } = await serversToKeep('web', { TAG_KEY: 'drain', TAG_VALUE: 'now', PORT: '8000' });
    expect(stdout).toBe('i-00000002\t10.0.0.2\t8000\n');
  });

  test('prints every page of a large group', async () => {
    const ids = Array.from({ length: 1001 }, (_, n) => `i-1${n.toString().padStart(7, '0')}`);
    for (const id of ids) given(id, '10.0.0.1');
    const { stdout } = await serversToKeep('web');
    expect(stdout).toBe(ids.map((id) => `${id}\t10.0.0.1\t80\n`).join(''));
    expect(ec2.calls.map(({ parameters }) => parameters.get('MaxResults'))).toEqual(['1000', '1000']);
  });

  test('takes a group by its whole name, commas and all', async () => {
    given('i-00000001', '10.0.0.1');
    given('i-00000002', '10.0.0.2', { 'aws:autoscaling:groupName': 'web,api' });
    const { stdout } = await serversToKeep('web,api');
    expect(stdout).toBe('i-00000002\t10.0.0.2\t80\n');
  });

  test('fails rather than printing an empty list', async () => {
    given('i-00000001', '10.0.0.1', { remove_from_lb: 'yes' });
    const { code, stdout, stderr } = await serversToKeep('web');
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toContain('no server to keep in web');
  });

  test('fails when EC2 does', async () => {
    ec2.faults.push({ status: 403, code: 'UnauthorizedOperation' });
    const { code, stdout, stderr } = await serversToKeep('web');
    expect(code).not.toBe(0);
    expect(stdout).toBe('');
    expect(stderr).toContain('UnauthorizedOperation');
  });

  test('asks for the name of the group', async () => {
    const { code, stderr } = await run(LIST, [], awsCli(ec2.url));
    expect(code).not.toBe(0);
    expect(stderr).toContain('the name of an Auto Scaling group is missing');
  });
});

test('servers-to-keep.sh prints nothing and fails when the AWS CLI prints a part and then fails', async () => {
  const PATH = await pathWithAws(folder, 'i-00000001\\t10.0.0.1\\t80\\n', 255);
  const { code, stdout } = await serversToKeep('web', { PATH });
  expect(stdout).toBe('');
  expect(code).not.toBe(0);
});

const TEMPLATE = `defaults
    mode http
    timeout connect 1s
    timeout client 1s
    timeout server 1s
frontend web
    bind 127.0.0.1:8000
    default_backend web
backend web
    default-server check
@SERVERS@
backend other
    server fixed 127.0.0.1:9000
`;

const UPDATE = 'examples/script/update-haproxy.sh';
describe.skipIf(skippedWithout({ haproxy: '-v' }, UPDATE))('update-haproxy.sh', () => {
  const ONE = 'i-00000001\\t10.0.0.1\\t80\\n';
  const TWO = 'i-00000002\\t10.0.0.2\\t8080\\n';
  const WITH_ONE = TEMPLATE.replace('@SERVERS@', '    server i-00000001 10.0.0.1:80');
  const WITH_BOTH = TEMPLATE.replace(
    '@SERVERS@',
    '    server i-00000001 10.0.0.1:80\n    server i-00000002 10.0.0.2:8080',
  );

  beforeEach(async () => {
    await writeFile(join(folder, 'template'), TEMPLATE);
    await writeFile(join(folder, 'haproxy.cfg'), 'what HAProxy runs with\n');
  });

  test('puts the servers into the place that the template has for them, and reloads', async () => {
    const { code, stdout, stderr } = await update(TWO + ONE);
    expect({ code, stdout, stderr }).toEqual({
      code: 0,
      stdout: `update-haproxy.sh: 2 servers in ${folder}/haproxy.cfg, reloaded\n`,
      stderr: '',
    });
    expect(await configuration()).toBe(WITH_BOTH);
    expect(await reloads()).toBe(1);
  });

  test('reloads only for a change, and the order in which EC2 names the instances is none', async () => {
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

  test('writes and reloads again after somebody edited the configuration', async () => {
    await update(ONE);
    await writeFile(join(folder, 'haproxy.cfg'), `${WITH_ONE}# by hand\n`);
    await update(ONE);
    expect(await configuration()).toBe(WITH_ONE);
    expect(await reloads()).toBe(2);
  });

  test('fails when the reload does, and tries again at the next run', async () => {
    expect((await update(ONE, { reload: 'false' })).code).not.toBe(0);
    const { code } = await update(ONE);
    expect(code).toBe(0);
    expect(await reloads()).toBe(1);
  });

  test.each([
    ['EC2 fails half-way', ONE, 255, '', TEMPLATE],
    ['no server is left', '', 0, 'no server to keep in web', TEMPLATE],
    ['HAProxy refuses the configuration', 'i-00000001\\tNone\\t80\\n', 0, 'could not resolve address', TEMPLATE],
    ['the template has no place for the servers', ONE, 0, 'template has no line @SERVERS@', WITH_ONE],
  ])('leaves HAProxy as it is, and fails, when %s', async (_, prints, status, message, template) => {
    await writeFile(join(folder, 'template'), template);
    const { code, stderr } = await update(prints, { status });
    expect(code).not.toBe(0);
    expect(stderr).toContain(message);
    expect(await configuration()).toBe('what HAProxy runs with\n');
    expect(await reloads()).toBe(0);
  });

  test('gives the configuration the mode of the template', async () => {
    await chmod(join(folder, 'template'), 0o600);
    await update(ONE);
    expect((await stat(join(folder, 'haproxy.cfg'))).mode & 0o777).toBe(0o600);
  });

  test('says what it needs', async () => {
    const { code, stderr } = await run(UPDATE, ['web', 'template', 'haproxy.cfg'], process.env);
    expect(code).toBe(2);
    expect(stderr).toContain('expected AUTO-SCALING-GROUP TEMPLATE CONFIGURATION RELOAD-COMMAND...');
  });

  async function update(prints: string, { status = 0, reload = 'echo reload >> "$0/reloads"' } = {}) {
    const PATH = await pathWithAws(folder, prints, status);
    const files = [join(folder, 'template'), join(folder, 'haproxy.cfg')];
    return run(UPDATE, ['web', ...files, 'sh', '-c', reload, folder], { ...process.env, PATH });
  }

  function configuration() {
    return readFile(join(folder, 'haproxy.cfg'), 'utf8');
  }

  async function reloads() {
    const lines = await readFile(join(folder, 'reloads'), 'utf8').catch(() => '');
    return lines.split('\n').length - 1;
  }
});

function given(id: string, privateIpAddress: string, tags: Record<string, string> = {}, state?: Instance['state']) {
  const all = { 'aws:autoscaling:groupName': 'web', ...tags };
  ec2.instances.set(id, { tags: new Map(Object.entries(all)), privateIpAddress, ...(state && { state }) });
}

function serversToKeep(group: string, settings: Record<string, string> = {}) {
  return run(LIST, [group], awsCli(ec2.url, settings));
}

function run(file: string, args: string[], env: NodeJS.ProcessEnv) {
  return new Promise<{ code: unknown; stdout: string; stderr: string }>((resolve) => {
    execFile(file, args, { env }, (error, stdout, stderr) => resolve({ code: error?.code ?? 0, stdout, stderr }));
  });
}
