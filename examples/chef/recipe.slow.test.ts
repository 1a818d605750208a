import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Ec2Endpoint, startEc2Endpoint } from '../../scripts/local-aws/ec2-endpoint.ts';
import { temporaryFolder } from '../../scripts/temporary-folder.ts';
import { DEFAULT_TAG } from '../../src/settings.ts';
import { awsCli } from '../../test/helpers/aws-cli.ts';
import { skippedWithoutChef } from '../../test/helpers/programs.ts';
import { instance } from '../fixtures.ts';
import { BUNDLE_GEMFILE, makeMachine, runChef } from './machine.ts';

const SECRET = 'the-password-of-an-administrator';

describe.skipIf(await skippedWithoutChef('the recipe in examples/chef'))('a run of chef-client', () => {
  let cleanup: AsyncDisposableStack;
  let folder: string;
  let config: string;
  let ec2: Ec2Endpoint;

  beforeEach(async () => {
    cleanup = new AsyncDisposableStack();
    folder = cleanup.use(await temporaryFolder('chef-recipe-')).path;
    await makeMachine(folder);
    config = join(folder, 'haproxy.cfg');
    ec2 = cleanup.adopt(await startEc2Endpoint(), (endpoint) => endpoint.close());
    for (const n of [1, 2]) ec2.instances.set(`i-0000000${n}`, instance({}, { privateIpAddress: `10.0.0.${n}` }));
  });
  afterEach(() => cleanup.disposeAsync());

  test('asks EC2 after the earlier recipes, and enables, starts and reloads the service', async () => {
    expect(await chefClient({ tags: true })).toMatchObject({ code: 0 });
    expect(await servers()).toEqual(['i-00000001 10.0.0.1:80']);
    expect(await actions()).toEqual(['enable', 'start', 'reload']);
  });

  test('shows no secret of the configuration, and lets only the owner and the group read the file', async () => {
    const debug = ['--log_level', 'debug'];
    await writeFile(join(folder, 'password'), SECRET);
    const runs = [await chefClient({}, debug)];
    expect((await stat(config)).mode & 0o777).toBe(0o640);
    expect(await readFile(config, 'utf8')).toContain(SECRET);
    tag('i-00000002');
    runs.push(await chefClient({}, debug));
    expect(await servers()).toEqual(['i-00000001 10.0.0.1:80']);
    await writeFile(join(folder, 'password'), `${SECRET}\nnonsense`);
    runs.push(await chefClient({}, debug));
    expect(runs.map(({ code }) => code)).toEqual([0, 0, 1]);
    expect(runs[2]?.stdout).toMatch(/Proposed content for .+haproxy.cfg failed verification \[sensitive\]/);
    // The message names a copy of the refused configuration.
    const [, copy = ''] = /Temporary file moved to (\S+)/.exec(runs[2]?.stdout ?? '') ?? [];
    expect((await stat(copy)).mode & 0o077).toBe(0);
    expect(runs.filter(({ stdout, stderr }) => `${stdout}${stderr}`.includes(SECRET))).toEqual([]);
  });

  test('--why-run names the changes and the reload, on a new machine and after a tag', async () => {
    const onNewMachine = await chefClient({}, ['--why-run']);
    expect(onNewMachine.code).toBe(0);
    expect(onNewMachine.stdout).toMatch(/Would create new file .*haproxy\.cfg\n/);
    expect(onNewMachine.stdout).toContain('Would start service service[haproxy]');
    await expect(stat(config)).rejects.toThrow('ENOENT');

    expect(await chefClient()).toMatchObject({ code: 0 });
    const unchanged = await chefClient({}, ['--why-run']);
    expect(unchanged.stdout).not.toContain('Would reload');
    tag('i-00000002');
    const { code, stdout } = await chefClient({}, ['--why-run']);
    expect(code).toBe(0);
    expect(stdout).toMatch(/Would update content in file .*haproxy\.cfg from/);
    expect(stdout).toContain('Would reload service service[haproxy]');
    expect(await servers()).toHaveLength(2);
  });

  function chefClient(machine: object = {}, options: readonly string[] = []) {
    return runChef(['bundle', 'exec', 'chef-client'], folder, { ...awsCli(ec2.url), BUNDLE_GEMFILE }, machine, options);
  }

  function tag(id: string): void {
    ec2.instances.get(id)?.tags.set(DEFAULT_TAG.key, DEFAULT_TAG.value);
  }

  async function servers(): Promise<string[]> {
    return [...(await readFile(config, 'utf8')).matchAll(/^ +server (.+)$/gm)].map(([, server = '']) => server);
  }

  /** What Chef did to the service. */
  async function actions(): Promise<string[]> {
    return (await readFile(join(folder, 'actions'), 'utf8')).trim().split('\n');
  }
});
