import { once } from 'node:events';
import { globSync } from 'node:fs';
import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Ec2Endpoint, startEc2Endpoint } from '../../scripts/local-aws/ec2-endpoint.ts';
import { temporaryFolder } from '../../scripts/temporary-folder.ts';
import { awsCli } from '../../test/helpers/aws-cli.ts';
import { skippedWithout, skippedWithoutChef } from '../../test/helpers/programs.ts';
import { instance, run } from '../fixtures.ts';
import { makeMachine, runChef } from './machine.ts';

const EXAMPLE = fileURLToPath(new URL('.', import.meta.url));
const LIBRARIES = join(EXAMPLE, 'cookbooks/haproxy_ec2/libraries');
const CORES = ['3.245.0', '3.244.0', '3.241.4'];

// The command `chef-client` of Chef's own package activates the gems of its lock file before Chef starts.
const ACTIVATE_CORE = `gem 'aws-sdk-core', "= #{ARGV.shift}"; require 'aws-sdk-core'`;

const LOAD_COOKBOOK = `module Chef
  Config = {}
end
Dir[ARGV.fetch(0) + '/{aws_sdk,haproxy_ec2}.rb'].each { |library| load library }
`;

// Installs the version that the cookbook names, and asks EC2.
const INSTALL = `${ACTIVATE_CORE}
${LOAD_COOKBOOK}
version = HaproxyEc2.sdk_version
Gem.install(HaproxyEc2::SDK, version, document: []) { |_| }
Gem.clear_paths
gem HaproxyEc2::SDK, version
require 'aws-sdk-ec2'
settings = { 'member_tag' => { 'key' => 'aws:autoscaling:groupName', 'value' => 'web' },
             'removal_tag' => { 'key' => 'k', 'value' => 'v' }, 'port' => 80 }
puts HaproxyEc2.servers(settings).map { |server| server[:id] }, Aws::CORE_GEM_VERSION
`;

const chefSkipped = await skippedWithoutChef("the recipe with Chef's own package");

const skipped = skippedWithout({ ruby: '--version' }, "the AWS SDK for Chef's own package");

test.skipIf(skipped)('keeps to a version of aws-sdk-ec2 that another cookbook has loaded', async () => {
  await using folder = await temporaryFolder('chef-loaded-sdk-');
  await mkdir(join(folder.path, 'specifications'));
  for (const version of ['1.1.0', '1.2.0']) {
    const specification = `Gem::Specification.new('aws-sdk-ec2', '${version}') { |gem| gem.summary = 'no files' }`;
    await writeFile(join(folder.path, `specifications/aws-sdk-ec2-${version}.gemspec`), specification);
  }
  const env = { ...process.env, GEM_HOME: folder.path, GEM_PATH: folder.path };
  for (const [first, version] of Object.entries({ "gem 'aws-sdk-ec2', '1.1.0'": '1.1.0', '': '1.2.0' })) {
    const script = `${first}\n${LOAD_COOKBOOK}\nprint HaproxyEc2.sdk_version`;
    expect(await run('ruby', ['-e', script, LIBRARIES], { env })).toEqual({ code: 0, stdout: version, stderr: '' });
  }
});

describe.skipIf(skipped)("Chef's own package", () => {
  const cleanup = new AsyncDisposableStack();
  let folder: string;
  let cores: string;
  let ec2: Ec2Endpoint;

  beforeAll(async () => {
    folder = cleanup.use(await temporaryFolder('chef-aws-sdk-')).path;
    cores = join(folder, 'cores');
    ec2 = cleanup.adopt(await startEc2Endpoint(), (endpoint) => endpoint.close());
    ec2.instances.set('i-00000001', instance({}, { privateIpAddress: '10.0.0.1' }));
    // Chef's package has rexml, with which the SDK reads EC2's answers.
    const gems = CORES.map((version) => `aws-sdk-core:${version}`);
    const installed = await run('gem', ['install', '--no-document', '--minimal-deps', 'rexml', ...gems], {
      env: gemHome(cores),
    });
    if (installed.code !== 0) throw new Error(`these tests need https://rubygems.org; ${installed.stderr}`);
  });
  afterAll(() => cleanup.disposeAsync());

  test.each(CORES)('gets a version of aws-sdk-ec2 that runs with aws-sdk-core %s', async (core) => {
    const { stdout, stderr } = await run('ruby', ['-e', INSTALL, core, LIBRARIES], {
      env: gemHome(join(folder, core), cores),
    });
    expect({ stdout, stderr }).toEqual({ stdout: `i-00000001\n${core}\n`, stderr: '' });
  });

  test.skipIf(chefSkipped)('the recipe installs that version once', async () => {
    const machine = join(folder, 'machine');
    const gems = join(folder, 'gems without aws');
    await mkdir(join(gems, 'specifications'), { recursive: true });
    const [vendor = ''] = globSync(join(EXAMPLE, 'vendor/ruby/*'));
    for (const name of ['gems', 'extensions']) await symlink(join(vendor, name), join(gems, name));
    for (const file of globSync(join(vendor, 'specifications/*.gemspec'))) {
      if (!basename(file).startsWith('aws-')) await symlink(file, join(gems, 'specifications', basename(file)));
    }
    // As gems, Chef and its packages would activate the newest aws-sdk-core.
    const libraries = globSync(join(vendor, 'gems/chef-{bin-,}1*/lib'));
    const [client = ''] = globSync(join(vendor, 'gems/chef-bin-*/bin/chef-client'));
    await makeMachine(machine);
    const env = { ...gemHome(join(folder, 'chef'), cores, gems), RUBYLIB: libraries.join(':') };
    const command = ['ruby', '-e', `${ACTIVATE_CORE}; load '${client}'`, '3.245.0'] as const;

    // Chef downloads the list of all gems. The list of https://rubygems.org would take many seconds.
    const copies = join(folder, 'copies');
    await run('ruby', ['-e', INSTALL, '3.245.0', LIBRARIES], { env: gemHome(copies, cores) });
    const server = await serveGems(globSync(join(copies, 'cache/*.gem')));
    const GEMRC = join(folder, 'gemrc');
    await writeFile(GEMRC, `:sources: ['${server}']\n`);
    const rubygems = ['--config-option', `rubygems_url=${server}`];
    const first = await runChef(command, machine, { ...env, GEMRC }, {}, rubygems);
    expect(first.stdout).toContain('Infra Phase complete');
    expect(first.stdout).toMatch(/install version \S+ of package aws-sdk-ec2/);
    const noServer = ['--config-option', 'rubygems_url=http://127.0.0.1:1'];
    const second = await runChef(command, machine, env, {}, noServer);
    expect(second.stdout).toContain('Infra Phase complete');
    expect(second.stdout).not.toContain('install version');
  });

  /** @returns the address of a server with these gems. */
  async function serveGems(files: string[]): Promise<string> {
    const root = join(folder, 'gem server');
    await mkdir(join(root, 'gems'), { recursive: true });
    for (const file of files) await symlink(file, join(root, 'gems', basename(file)));
    const { code, stderr } = await run('gem', ['generate_index', '--directory', root]);
    if (code !== 0) throw new Error(stderr);
    const server = createServer(async ({ url = '' }, response) => {
      const content = await readFile(join(root, url)).catch(() => undefined);
      response.writeHead(content ? 200 : 404).end(content);
    }).listen(0, '127.0.0.1');
    cleanup.defer(() => void server.close());
    await once(server, 'listening');
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  /** An environment with these folders of gems; RubyGems installs into the first one. */
  function gemHome(home: string, ...others: string[]): NodeJS.ProcessEnv {
    return { ...awsCli(ec2.url), GEM_HOME: home, GEM_PATH: [home, ...others].join(':') };
  }
});
