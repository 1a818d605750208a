import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { pathWithAws } from '../../test/helpers/aws-cli.ts';
import { temporaryFolder } from '../temporary-folder.ts';
import { chef } from './consumers/chef.ts';
import { runtimeApi } from './consumers/runtime-api.ts';
import { script } from './consumers/script.ts';
import { surroundingsIn } from './fixtures.ts';

let folder: string;
let removeFolder: () => Promise<void>;
beforeEach(async () => {
  ({ path: folder, remove: removeFolder } = await temporaryFolder('consumers-'));
});
afterEach(() => removeFolder());

test.for([runtimeApi, script])('$name says how to install a missing AWS CLI', async (consumer) => {
  await expect(consumer.requirement({ PATH: folder })).rejects.toThrow(
    'aws cannot be run; install it (Debian, Ubuntu: apt-get install awscli; macOS: brew install awscli)',
  );
});

test('runtime-api says how to install a missing socat', async () => {
  await pathWithAws(folder, 'aws-cli/2.9.19 Python/3.11.2\\n', 0);
  await expect(script.requirement({ PATH: folder })).resolves.toBe('AWS CLI 2.9.19');
  await expect(runtimeApi.requirement({ PATH: folder })).rejects.toThrow('socat cannot be run; install it');
});

describe('chef', () => {
  test('refuses a CHEF_LICENSE that Chef would refuse', async () => {
    await expect(chef.requirement({ CHEF_LICENSE: 'yes', PATH: folder })).rejects.toThrow(
      /^CHEF_LICENSE is "yes"; expected one of accept, accept-silent, accept-no-persist$/,
    );
  });

  test('takes CHEF_LICENSE in capitals, as Chef does', async () => {
    await givenBundle("echo 'Chef Infra Client: 18.11.11'");
    await expect(chef.requirement({ CHEF_LICENSE: 'ACCEPT', PATH: folder })).resolves.toBe(
      'Chef Infra Client 18.11.11',
    );
  });

  test('repeats the last lines of a chef-client that ends before its first run', async () => {
    const PATH = await givenBundle("echo 'a warning' >&2; echo 'the reason'; exit 172");
    await expect(chef.start(surroundingsIn(folder, { environment: { PATH } }))).rejects.toThrow(
      /^chef-client ended before its first run did \(exit code 172\): (a warning; the reason|the reason; a warning)$/,
    );
  });

  test('ends during its first run when the proof is interrupted', async () => {
    const PATH = `${await givenBundle('echo begun; exec sleep 60')}:${process.env.PATH}`;
    const end = new AbortController();
    const starting = chef.start(surroundingsIn(folder, { environment: { PATH }, signal: end.signal }));
    await vi.waitFor(() => readFile(join(folder, 'chef', 'node.json')), 20_000);
    end.abort(new Error('interrupted'));
    await expect(starting).rejects.toThrow(/^(chef-client ended before its first run did \(SIGTERM\).*|interrupted)$/);
  });

  test('gets whole paths that have a space and quotation marks', async () => {
    const PATH = `${await givenBundle("printf 'Infra Phase complete\\n'; exec sleep 60")}:${process.env.PATH}`;
    const inside = join(folder, `it's a "folder"`);
    await mkdir(inside);
    const consumer = await chef.start(surroundingsIn(inside, { environment: { PATH } }));
    await consumer.stop();
    expect(consumer.failures).toEqual([]);
    const client = await readFile(join(inside, 'chef', 'client.rb'), 'utf8');
    expect(client).toContain(`chef_repo_path '${folder}/it\\'s a "folder"/chef'`);
    const { haproxy_ec2: attributes } = JSON.parse(await readFile(join(inside, 'chef', 'node.json'), 'utf8'));
    expect(attributes.reload_command).toBe(`kill -USR2 "$(cat '${folder}/it'\\''s a "folder"/haproxy.pid')"`);
  });

  async function givenBundle(commands: string): Promise<string> {
    await writeFile(join(folder, 'bundle'), `#!/bin/sh\n${commands}\n`);
    await chmod(join(folder, 'bundle'), 0o755);
    return folder;
  }
});
