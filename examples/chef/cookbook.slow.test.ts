import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { temporaryFolder } from '../../scripts/temporary-folder.ts';
import { DEFAULT_TAG } from '../../src/settings.ts';
import { skippedWithout } from '../../test/helpers/programs.ts';
import { run, TAGGED } from '../fixtures.ts';

const COOKBOOK = 'examples/chef/cookbooks/haproxy_ec2';

const skipped = skippedWithout({ ruby: '--version', haproxy: '-v' }, 'the Chef cookbook');

/** Instances as `HaproxyEc2.servers` sees them: id, tags. */
type Instances = readonly (readonly [id: string, tags: Readonly<Record<string, string>>])[];

// Calls HaproxyEc2.servers with a client that returns these pages. Prints the servers and the client's arguments.
const SERVERS = `
require 'json'
load ARGV.fetch(0)
Tag = Struct.new(:key, :value)
Instance = Struct.new(:instance_id, :private_ip_address, :tags)
Reservation = Struct.new(:instances)
Page = Struct.new(:reservations)
pages, settings = JSON.parse($stdin.read).values_at('pages', 'settings')
asked = nil
ec2 = Object.new
ec2.define_singleton_method(:describe_instances) do |**question|
  asked = question
  pages.map do |page|
    Page.new(page.map { |id, tags| Reservation.new([Instance.new(id, "10.0.0.#{id[-1]}", tags.map { |tag| Tag.new(*tag) })]) })
  end
end
servers = HaproxyEc2.servers(ec2, settings)
puts JSON.generate(servers: servers, asked: asked)
`;

const SETTINGS = {
  member_tag: { key: 'aws:autoscaling:groupName', value: 'web' },
  removal_tag: DEFAULT_TAG,
  port: 8080,
};

describe.skipIf(skipped)('HaproxyEc2.servers', () => {
  test('returns the running members without the removal tag, from every page, in the order of their ids', async () => {
    const otherValue = { [DEFAULT_TAG.key]: 'no' };
    const emptyValue = { [DEFAULT_TAG.key]: '' };
    const otherKey = { [DEFAULT_TAG.key.toUpperCase()]: DEFAULT_TAG.value };
    const { stdout } = await serversOf([
      Object.entries({ 'i-5': otherValue, 'i-2': TAGGED, 'i-4': emptyValue }),
      Object.entries({ 'i-3': otherKey, 'i-1': { Name: DEFAULT_TAG.key } }),
    ]);
    const { asked, servers } = JSON.parse(stdout);
    expect(asked.filters).toEqual([
      { name: 'tag:aws:autoscaling:groupName', values: ['web'] },
      { name: 'instance-state-name', values: ['running'] },
    ]);
    expect(asked.max_results).toBe(1000);
    expect(servers).toEqual([1, 3, 4, 5].map((n) => ({ id: `i-${n}`, address: `10.0.0.${n}`, port: 8080 })));
  });

  test('takes member tag, removal tag and port from the attributes', async () => {
    const settings = {
      member_tag: { key: 'Role', value: 'shop' },
      removal_tag: { key: 'drain', value: 'now' },
      port: 81,
    };
    const { stdout } = await serversOf([Object.entries({ 'i-1': { drain: 'now' }, 'i-2': TAGGED })], settings);
    const { asked, servers } = JSON.parse(stdout);
    expect(asked.filters[0]).toEqual({ name: 'tag:Role', values: ['shop'] });
    expect(servers).toEqual([{ id: 'i-2', address: '10.0.0.2', port: 81 }]);
  });

  test.each<{ pages: Instances[]; of: number }>([
    { pages: [[]], of: 0 },
    { pages: [[['i-1', TAGGED]]], of: 1 },
  ])('fails when no server would be left of $of running instances', async ({ pages, of }) => {
    const { code, stdout, stderr } = await serversOf(pages);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toContain(
      `no server to keep in aws:autoscaling:groupName=web, of ${of} running; HAProxy is left as it is`,
    );
  });

  test.each([null, ''])('fails when the name of the group is %j', async (value) => {
    const { code, stderr } = await serversOf([[['i-1', {}]]], {
      ...SETTINGS,
      member_tag: { ...SETTINGS.member_tag, value },
    });
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /node\['haproxy_ec2'\]\['member_tag'\]\['value'\] is (nil|""); expected the value of aws:autoscaling:groupName/,
    );
  });
});

// Renders the template as Chef does, with plain ERB.
const RENDER = `
require 'erb'
require 'json'
@servers = JSON.parse($stdin.read, symbolize_names: true)
define_method(:render) { |file| ERB.new(File.read(File.join(ARGV.fetch(0), file)), trim_mode: '-').result(binding) }
print render('haproxy.cfg.erb')
`;

test.skipIf(skipped)('the template is a configuration that HAProxy accepts, and that loses no request', async () => {
  await using folder = await temporaryFolder('chef-cookbook-');
  const file = join(folder.path, 'haproxy.cfg');
  const servers = [1, 2].map((n) => ({ id: `i-${n}`, address: `10.0.0.${n}`, port: 80 }));
  const rendered = await run('ruby', ['-e', RENDER, `${COOKBOOK}/templates`], { input: JSON.stringify(servers) });
  const { stdout: configuration } = rendered;
  expect(configuration).toMatch(/\n {4}server i-1 10.0.0.1:80\n {4}server i-2 10.0.0.2:80\n$/);
  // An idle client connection stays until its next response.
  expect(configuration).toMatch(/\ndefaults\n(?: {4}.+\n)* {4}option idle-close-on-response\n/);
  // An old worker lives long enough for the longest request on a kept-alive connection.
  const seconds = (name: string) => Number(new RegExp(`^ +${name} (\\d+)s$`, 'm').exec(configuration)?.[1]);
  expect(seconds('hard-stop-after')).toBeGreaterThan(seconds('timeout server') + seconds('timeout http-keep-alive'));
  await writeFile(file, configuration);
  expect(await run('haproxy', ['-c', '-f', file])).toMatchObject({ code: 0, stderr: '' });
});

function serversOf(pages: readonly Instances[], settings: object = SETTINGS) {
  const input = JSON.stringify({ pages, settings });
  return run('ruby', ['-e', SERVERS, `${COOKBOOK}/libraries/haproxy_ec2.rb`], { input });
}
