import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { DEFAULT_TAG } from '../src/settings.ts';
import { TEMPLATE } from './helpers/stack.ts';

it('the template has the default tag of the function', () => {
  const { TagKey, TagValue } = TEMPLATE.Parameters;
  expect({ key: TagKey?.Default, value: TagValue?.Default }).toEqual(DEFAULT_TAG);
});

it.each([
  ['examples/runtime-api/drain-tagged-servers.sh', /^key=\$\{TAG_KEY:-(.*)\}$/m, /^value=\$\{TAG_VALUE:-(.*)\}$/m],
  ['examples/script/servers-to-keep.sh', /^key=\$\{TAG_KEY:-(.*)\}$/m, /^value=\$\{TAG_VALUE:-(.*)\}$/m],
  [
    'examples/chef/cookbooks/haproxy_ec2/attributes/default.rb',
    /\['removal_tag'\]\['key'\] = '(.*)'$/m,
    /\['removal_tag'\]\['value'\] = '(.*)'$/m,
  ],
])('a consumer has the default tag of the function: %s', (path, key, value) => {
  const text = readFileSync(path, 'utf8');
  expect({ key: key.exec(text)?.[1], value: value.exec(text)?.[1] }).toEqual(DEFAULT_TAG);
});
