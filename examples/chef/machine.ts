import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { DEFAULT_TAG } from '../../src/settings.ts';
import { run } from '../fixtures.ts';

export const BUNDLE_GEMFILE = fileURLToPath(new URL('Gemfile', import.meta.url));
const COOKBOOKS = fileURLToPath(new URL('cookbooks', import.meta.url));

// A machine without systemd: the service writes down its actions. An earlier resource calls EC2, and needs some time.
const MACHINE = {
  'metadata.rb': `name 'machine'\nversion '1.0.0'\ndepends 'haproxy_ec2'\n`,
  'libraries/service.rb': `
class WrittenDownService < Chef::Provider::Service
  def load_current_resource
    @current_resource = Chef::Resource::Service.new(new_resource.name)
    current_resource.enabled(false)
    actions = node['machine']['actions']
    current_resource.running(::File.exist?(actions) && ::File.read(actions).include?('start'))
  end

  %w(enable start reload).each do |name|
    define_method(:"#{name}_service") { ::File.write(node['machine']['actions'], "#{name}\\n", mode: 'a') }
  end
end
`,
  'recipes/default.rb': `
ruby_block 'tag an instance' do
  block do
    tags = [{ key: '${DEFAULT_TAG.key}', value: '${DEFAULT_TAG.value}' }]
    Aws::EC2::Client.new.create_tags(resources: ['i-00000002'], tags: tags)
  end
  only_if { node['machine']['tags'] }
end

include_recipe 'haproxy_ec2'

edit_resource!(:service, 'haproxy') do
  provider WrittenDownService
  supports reload: true
end
`,
  'templates/haproxy.cfg.erb': `
userlist administrators
    user admin insecure-password <%= ::File.read(node['machine']['password']) %>
defaults
    timeout connect 1s
    timeout client 1s
    timeout server 1s
frontend web
    bind 127.0.0.1:1080
    default_backend web
backend web
<%= render 'servers.erb', cookbook: 'haproxy_ec2' -%>
`,
};

/** Makes a folder into a machine for `runChef`. */
export async function makeMachine(folder: string): Promise<void> {
  for (const [name, content] of Object.entries(MACHINE)) {
    const file = join(folder, 'cookbooks/machine', name);
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, content);
  }
  await writeFile(join(folder, 'password'), 'a password');
}

/**
 * Runs the cookbook once, for the group "web". The folder gets `haproxy.cfg`, and `actions` with Chef's actions on the
 * service. The configuration contains the text of the folder's file `password`.
 * @param machine attributes: `tags` to tag i-00000002 in an earlier resource.
 */
export async function runChef(
  [program, ...chefClient]: readonly [string, ...string[]],
  folder: string,
  env: NodeJS.ProcessEnv,
  machine: object = {},
  options: readonly string[] = [],
) {
  const config = join(folder, 'haproxy.cfg');
  const template = { cookbook: 'machine' };
  const node = {
    run_list: ['recipe[machine]'],
    machine: { actions: join(folder, 'actions'), password: join(folder, 'password'), ...machine },
    haproxy_ec2: { member_tag: { value: 'web' }, config, template, region: 'us-west-2' },
  };
  const clientFile = join(folder, 'client.rb');
  const lines = [
    `chef_repo_path '${folder}'`,
    `cookbook_path ['${folder}/cookbooks', '${COOKBOOKS}']`,
    `file_cache_path '${folder}/cache'`,
    "node_name 'machine'",
    'minimal_ohai true',
  ];
  await writeFile(clientFile, `${lines.join('\n')}\n`);
  const nodeFile = join(folder, 'node.json');
  await writeFile(nodeFile, JSON.stringify(node));
  const files = ['--local-mode', '--config', clientFile, '--json-attributes', nodeFile];
  return run(program, [...chefClient, ...files, ...options], { env });
}
