import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { temporaryFolder } from '../temporary-folder.ts';
import { chef } from './consumers/chef.ts';
import { surroundingsIn } from './fixtures.ts';

describe('chef', () => {
  let folder: string;
  let removeFolder: () => Promise<void>;
  beforeEach(async () => {
    ({ path: folder, remove: removeFolder } = await temporaryFolder('consumers-'));
  });
  afterEach(() => removeFolder());

  test.for([
    [undefined, /accept the licence.*CHEF_LICENSE=accept-no-persist npm run drain -- --consumer chef$/],
    ['yes', /^CHEF_LICENSE is "yes"; expected one of accept, accept-silent, accept-no-persist$/],
    ['ACCEPT', /^Chef is not installed: .*bundle install --gemfile examples\/chef\/Gemfile$/],
  ] as const)('says what it needs when CHEF_LICENSE is %s and Chef is missing', async ([licence, message]) => {
    const environment = { PATH: folder, ...(licence && { CHEF_LICENSE: licence }) };
    await expect(chef.requirement(environment)).rejects.toThrow(message);
  });

  test('gets whole paths that have a space and quotation marks', async () => {
    await writeFile(join(folder, 'bundle'), "#!/bin/sh\nprintf 'Infra Phase complete\\n'; exec sleep 60\n");
    await chmod(join(folder, 'bundle'), 0o755);
    const inside = join(folder, `it's a "folder"`);
    await mkdir(inside);
    const PATH = `${folder}:${process.env.PATH}`;
    const consumer = await chef.start(surroundingsIn(inside, { environment: { PATH } }));
    await consumer.stop();
    expect(consumer.failures).toEqual([]);
    const client = await readFile(join(inside, 'chef', 'client.rb'), 'utf8');
    expect(client).toContain(`chef_repo_path '${folder}/it\\'s a "folder"/chef'`);
    const { haproxy_ec2: attributes } = JSON.parse(await readFile(join(inside, 'chef', 'node.json'), 'utf8'));
    expect(attributes.reload_command).toBe(`kill -USR2 "$(cat '${folder}/it'\\''s a "folder"/haproxy.pid')"`);
  });
});
