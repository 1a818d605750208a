import { readFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { chef } from '../../scripts/proof/consumers/chef.ts';
import { temporaryFolder } from '../../scripts/temporary-folder.ts';

const COOKBOOK = 'examples/chef/cookbooks/haproxy_ec2';

describe('the attributes', () => {
  test('are all in the table of the README, with their defaults', async () => {
    const attributes = await readFile(`${COOKBOOK}/attributes/default.rb`, 'utf8');
    const defaults = [...attributes.matchAll(/^default\['haproxy_ec2'\](\S+) = (.+)$/gm)].map(([, name, value]) => [
      name,
      value,
    ]);
    const readme = await readFile('examples/chef/README.md', 'utf8');
    const table = [...readme.matchAll(/^\| `(\[\S+\])` \| `([^`]+)` \|/gm)].map(([, name, value]) => [name, value]);
    expect(table).toEqual(defaults);
    expect(defaults.length).toBeGreaterThan(10);
  });

  test('name the tag that the function sets by default', async () => {
    const attributes = await readFile(`${COOKBOOK}/attributes/default.rb`, 'utf8');
    expect(attributes).toContain("default['haproxy_ec2']['removal_tag']['key'] = 'remove_from_lb'\n");
    expect(attributes).toContain("default['haproxy_ec2']['removal_tag']['value'] = 'yes'\n");
  });
});

describe('the lock file', () => {
  test('takes Chef 18 and InSpec 5, because later ones are under other licence terms, and gems for every processor', async () => {
    const lock = await readFile('examples/chef/Gemfile.lock', 'utf8');
    expect(lock).toMatch(/^ {4}chef-bin \(18\.11\.11\)$/m);
    expect(lock).toMatch(/^ {4}inspec-core \(5\.\d+\.\d+\)$/m);
    expect(lock).toMatch(/^PLATFORMS\n {2}ruby\n\n/m);
  });
});

describe('what the consumer needs', () => {
  test('is the acceptance of the licence, which no script of this project gives', async () => {
    await expect(chef.requirement({ PATH: process.env.PATH })).rejects.toThrow(
      /accepted its licence.*CHEF_LICENSE=accept-no-persist npm run drain -- --consumer chef$/,
    );
  });

  test('is Chef, with the command that installs it', async () => {
    await using folder = await temporaryFolder('chef-cookbook-');
    await expect(chef.requirement({ CHEF_LICENSE: 'accept-no-persist', PATH: folder.path })).rejects.toThrow(
      /^Chef is not installed: .*bundle install --gemfile examples\/chef\/Gemfile$/,
    );
  });
});
