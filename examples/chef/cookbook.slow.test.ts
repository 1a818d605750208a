import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { temporaryFolder } from '../../scripts/temporary-folder.ts';
import { DEFAULT_TAG } from '../../src/settings.ts';
import { skippedWithout } from '../../test/helpers/programs.ts';
import { run, TAGGED } from '../fixtures.ts';

const COOKBOOK = 'examples/chef/cookbooks/haproxy_ec2';

const skipped = skippedWithout({ ruby: '--version', haproxy: '-v' }, 'the Chef cookbook');

/** Instances as `HaproxyEc2.servers` sees them: id, tags, and addresses unless they are the usual ones. */
type Instances = readonly (readonly [id: string, tags: Readonly<Record<string, string>>, addresses?: Addresses])[];
type Addresses = {
  readonly ipv4?: string | null;
  readonly ipv6?: string | null;
  /** IPv6 addresses of each network interface. */
  readonly interfaces?: readonly (readonly string[])[];
};

// Calls HaproxyEc2.servers, with an SDK that returns these pages. Prints the servers, the SDK's calls, and Chef's log.
const SERVERS = `
require 'json'
$pages, settings = JSON.parse($stdin.read).values_at('pages', 'settings')
Tag = Struct.new(:key, :value)
Instance = Struct.new(:instance_id, :tags, :private_ip_address, :ipv_6_address, :network_interfaces)
Interface = Struct.new(:ipv_6_addresses)
Address = Struct.new(:ipv_6_address)
Reservation = Struct.new(:instances)
Page = Struct.new(:reservations)
module Chef
  module Log
    def self.warn(line) = ($warnings ||= []) << line
  end
end
module Aws
  module EC2
    class Client
      def initialize(**options) = $options = options

      def describe_instances(**question)
        $asked = question
        $pages.map { |page| Page.new(page.map { |instance| Reservation.new([given(*instance)]) }) }
      end

      def given(id, tags, addresses = {})
        usual = { 'ipv4' => "10.0.0.#{id[-1]}", 'interfaces' => [] }
        ipv4, ipv6, interfaces = usual.merge(addresses).values_at('ipv4', 'ipv6', 'interfaces')
        interfaces = interfaces.map { |all| Interface.new(all.map { |address| Address.new(address) }) }
        Instance.new(id, tags.map { |tag| Tag.new(*tag) }, ipv4, ipv6, interfaces)
      end
    end
  end
end
load ARGV.fetch(0)
servers = HaproxyEc2.servers(settings)
puts JSON.generate(servers: servers, asked: $asked, options: $options, warnings: $warnings)
`;

const GROUP = { 'aws:autoscaling:groupName': 'web' };
const SETTINGS = {
  member_tag: { key: 'aws:autoscaling:groupName', value: 'web' },
  removal_tag: DEFAULT_TAG,
  port: 8080,
};

describe.skipIf(skipped)('HaproxyEc2.servers', () => {
  test('returns the running members without the removal tag, from every page, in the order of their ids', async () => {
    const otherValue = { ...GROUP, [DEFAULT_TAG.key]: 'no' };
    const emptyValue = { ...GROUP, [DEFAULT_TAG.key]: '' };
    const otherKey = { ...GROUP, [DEFAULT_TAG.key.toUpperCase()]: DEFAULT_TAG.value };
    const { asked, servers } = await serversOf([
      Object.entries({ 'i-5': otherValue, 'i-2': { ...GROUP, ...TAGGED }, 'i-4': emptyValue }),
      Object.entries({ 'i-3': otherKey, 'i-1': { ...GROUP, Name: DEFAULT_TAG.key } }),
    ]);
    expect(asked.filters).toEqual([
      { name: 'tag:aws:autoscaling:groupName', values: ['web'] },
      { name: 'tag-key', values: ['aws:autoscaling:groupName'] },
      { name: 'instance-state-name', values: ['running'] },
    ]);
    expect(asked.max_results).toBe(1000);
    expect(servers).toEqual([1, 3, 4, 5].map((n) => ({ id: `i-${n}`, address: `10.0.0.${n}`, port: 8080 })));
  });

  test('takes region, member tag, removal tag and port from the attributes', async () => {
    const settings = {
      region: 'eu-central-2',
      member_tag: { key: 'Role', value: 'shop' },
      removal_tag: { key: 'drain', value: 'now' },
      port: '81',
    };
    const instances = Object.entries({ 'i-1': { ...GROUP, drain: 'now' }, 'i-2': { ...GROUP, ...TAGGED } });
    const { asked, servers, options } = await serversOf([instances], settings);
    expect(options.region).toBe('eu-central-2');
    expect(asked.filters[0]).toEqual({ name: 'tag:Role', values: ['shop'] });
    expect(servers).toEqual([{ id: 'i-2', address: '10.0.0.2', port: 81 }]);
  });

  test('compares booleans and numbers in attributes as text', async () => {
    const settings = {
      member_tag: { key: 'Role', value: [7, true] },
      removal_tag: { key: 'drain', value: true },
      port: 81,
    };
    const instances = Object.entries({ 'i-1': { ...GROUP, drain: 'true' }, 'i-2': GROUP });
    const { asked, servers } = await serversOf([instances], settings);
    expect(asked.filters[0].values).toEqual(['7', 'true']);
    expect(servers).toEqual([{ id: 'i-2', address: '10.0.0.2', port: 81 }]);
  });

  test('looks at several groups together, so one of them may be empty', async () => {
    const settings = { ...SETTINGS, member_tag: { ...SETTINGS.member_tag, value: ['blue', 'green'] } };
    const blue = { 'aws:autoscaling:groupName': 'blue' };
    const { asked, servers } = await serversOf(
      [Object.entries({ 'i-1': { ...blue, ...TAGGED }, 'i-2': GROUP })],
      settings,
    );
    expect(asked.filters[0]).toEqual({ name: 'tag:aws:autoscaling:groupName', values: ['blue', 'green'] });
    expect(servers).toMatchObject([{ id: 'i-2' }]);
    const { stderr } = await serversRun([Object.entries({ 'i-1': { ...blue, ...TAGGED } })], settings);
    expect(stderr).toContain(
      'no server to keep in aws:autoscaling:groupName=blue or aws:autoscaling:groupName=green, of 1 running',
    );
  });

  test("takes EC2's wildcards in the name of a group literally", async () => {
    const settings = { ...SETTINGS, member_tag: { ...SETTINGS.member_tag, value: String.raw`we*b?\x` } };
    const { asked } = await serversOf([[['i-1', GROUP]]], settings);
    expect(asked.filters[0].values).toEqual([String.raw`we\*b\?\\x`]);
  });

  test('ignores an instance in no Auto Scaling group, because anybody may set a role tag', async () => {
    const settings = { ...SETTINGS, member_tag: { key: 'Role', value: 'web' } };
    const instances = Object.entries({ 'i-1': { ...GROUP, Role: 'web' }, 'i-2': { Role: 'web' } });
    const { servers } = await serversOf([instances], settings);
    expect(servers).toMatchObject([{ id: 'i-1' }]);
  });

  test('takes the IPv6 address of an instance without IPv4, and leaves out and names an instance without any', async () => {
    const { servers, warnings } = await serversOf([
      [
        ['i-1', GROUP, { ipv4: null, ipv6: '2001:db8::17' }],
        ['i-2', GROUP, { ipv4: null }],
        ['i-3', GROUP, { ipv4: '', ipv6: '' }],
        ['i-4', GROUP, { ipv6: '2001:db8::18' }],
      ],
    ]);
    expect(servers).toEqual([
      { id: 'i-1', address: '[2001:db8::17]', port: 8080 },
      { id: 'i-4', address: '10.0.0.4', port: 8080 },
    ]);
    expect(warnings).toEqual([
      expect.stringMatching(/^i-2 has no private IPv4 address and no IPv6 address/),
      expect.stringMatching(/^i-3 has no/),
    ]);
  });

  test('finds the IPv6 address at the network interface', async () => {
    const interfaces = [[], ['2001:db8::3', '2001:db8::4']];
    const { servers } = await serversOf([[['i-1', GROUP, { ipv4: null, interfaces }]]]);
    expect(servers).toMatchObject([{ address: '[2001:db8::3]' }]);
  });

  test.each<{ pages: Instances[]; of: number }>([
    { pages: [[]], of: 0 },
    { pages: [[['i-1', { ...GROUP, ...TAGGED }]]], of: 1 },
    { pages: [[['i-1', GROUP, { ipv4: null }]]], of: 1 },
  ])('fails when no server would be left of $of running instances', async ({ pages, of }) => {
    const { code, stdout, stderr } = await serversRun(pages);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toContain(
      `no server to keep in aws:autoscaling:groupName=web, of ${of} running; HAProxy is left as it is`,
    );
  });

  test.each([
    {
      setting: 'member_tag',
      value: { ...SETTINGS.member_tag, value: null },
      says: "['value'] is nil; expected the value of",
    },
    {
      setting: 'member_tag',
      value: { ...SETTINGS.member_tag, value: '' },
      says: `['value'] is ""; expected the value of`,
    },
    {
      setting: 'member_tag',
      value: { ...SETTINGS.member_tag, value: [] },
      says: "['value'] is []; expected the value of",
    },
    {
      setting: 'member_tag',
      value: { ...SETTINGS.member_tag, value: ['a', ''] },
      says: `['value'] is ["a", ""]; expected`,
    },
    { setting: 'member_tag', value: { key: '', value: 'web' }, says: `['key'] is ""; expected the key of a tag` },
    { setting: 'removal_tag', value: { ...DEFAULT_TAG, value: null }, says: "['value'] is nil; expected the value of" },
    { setting: 'port', value: null, says: ' is nil; expected a port number from 1 to 65535' },
    { setting: 'port', value: true, says: ' is true; expected a port number' },
    { setting: 'port', value: 0, says: ' is 0; expected a port number' },
    { setting: 'port', value: 65_536, says: ' is 65536; expected a port number' },
    { setting: 'port', value: '80 backup', says: ' is "80 backup"; expected a port number' },
    {
      setting: 'port',
      value: '80\nserver evil 10.6.6.6:80',
      says: ' is "80',
    },
  ])('fails when an attribute has no usable value: $setting$says', async ({ setting, value, says }) => {
    const { code, stdout, stderr } = await serversRun([[['i-1', GROUP]]], { ...SETTINGS, [setting]: value });
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toContain(`node['haproxy_ec2']['${setting}']${says}`);
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
  const servers = ['10.0.0.1', '[2001:db8::2]'].map((address, n) => ({ id: `i-${n + 1}`, address, port: 80 }));
  const rendered = await run('ruby', ['-e', RENDER, `${COOKBOOK}/templates`], { input: JSON.stringify(servers) });
  const { stdout: configuration } = rendered;
  expect(configuration).toMatch(/\n {4}server i-1 10.0.0.1:80\n {4}server i-2 \[2001:db8::2\]:80\n$/);
  // An idle client connection stays until its next response.
  expect(configuration).toMatch(/\ndefaults\n(?: {4}.+\n)* {4}option idle-close-on-response\n/);
  // An old worker lives long enough for the longest request on a kept-alive connection.
  const seconds = (name: string) => Number(new RegExp(`^ +${name} (\\d+)s$`, 'm').exec(configuration)?.[1]);
  expect(seconds('hard-stop-after')).toBeGreaterThan(seconds('timeout server') + seconds('timeout http-keep-alive'));
  await writeFile(file, configuration);
  expect(await run('haproxy', ['-c', '-f', file])).toMatchObject({ code: 0, stderr: '' });
});

async function serversOf(pages: readonly Instances[], settings?: object) {
  const { stdout, stderr } = await serversRun(pages, settings);
  expect(stderr).toBe('');
  return JSON.parse(stdout);
}

function serversRun(pages: readonly Instances[], settings: object = SETTINGS) {
  const input = JSON.stringify({ pages, settings });
  return run('ruby', ['-e', SERVERS, `${COOKBOOK}/libraries/haproxy_ec2.rb`], { input });
}
