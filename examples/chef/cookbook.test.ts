import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';

test('the table of the README has every attribute with its default', async () => {
  const attributes = await readFile('examples/chef/cookbooks/haproxy_ec2/attributes/default.rb', 'utf8');
  const defaults = attributes.matchAll(/^default\['haproxy_ec2'\](?<name>\S+) = (?<value>.+)$/gm);
  const readme = await readFile('examples/chef/README.md', 'utf8');
  const rows = readme.matchAll(/^\| `(?<name>\[\S+\])` \| `(?<value>[^`]+)` \|/gm);
  const expected = [...defaults].map(({ groups }) => groups);
  expect(expected).not.toEqual([]);
  expect([...rows].map(({ groups }) => groups)).toEqual(expected);
});
