import { utimes } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { globalSection, startHaproxy } from '../../scripts/haproxy.ts';
import { temporaryFolder } from '../../scripts/temporary-folder.ts';
import { skippedWithout } from '../../test/helpers/programs.ts';
import { run } from '../fixtures.ts';

const LIBRARY = fileURLToPath(new URL('cookbooks/haproxy_ec2/libraries/running_haproxy.rb', import.meta.url));

const WAIT = `
require 'json'
load ARGV.fetch(0)
socket, config, servers = JSON.parse($stdin.read, symbolize_names: true)
HaproxyEc2.wait_until_loaded(socket, config, servers, seconds: 0)
`;

const skipped = skippedWithout({ ruby: '--version', haproxy: '-v' }, "the cookbook's look at the running HAProxy");

describe.skipIf(skipped)('HaproxyEc2.wait_until_loaded', () => {
  const cleanup = new AsyncDisposableStack();
  const servers = [
    { id: 'i-00000001', address: '127.0.0.1', port: 80 },
    { id: 'i-00000002', address: '[2001:db8::2]', port: 80 },
  ];
  let haproxy: Awaited<ReturnType<typeof startHaproxy>>;

  beforeAll(async () => {
    const { path: folder } = cleanup.use(await temporaryFolder('chef-running-'));
    const lines = servers.map(({ id, address, port }) => `    server ${id} ${address}:${port}\n`).join('');
    const backend = `    balance roundrobin\n${lines}    server standby 127.0.0.9:80 backup\n`;
    const timeouts = 'defaults\n    timeout connect 1s\n    timeout server 1s\n';
    haproxy = await startHaproxy(
      folder,
      `${globalSection(folder)}${timeouts}backend web\n${backend}backend shop\n${lines}`,
    );
    cleanup.defer(() => haproxy.stop());
  });
  afterAll(() => cleanup.disposeAsync());
  beforeEach(() => written(new Date(0)));

  test('ends when HAProxy has all servers of the list', async () => {
    expect(await wait(servers)).toEqual({ code: 0, stdout: '', stderr: '' });
  });

  test('names the servers that are missing or left over', async () => {
    const others = servers.map((server, n) => ({ ...server, address: `127.0.0.${n + 1}` }));
    const { code, stderr } = await wait([...others, { id: 'i-00000003', address: '127.0.0.3', port: 80 }]);
    expect(code).toBe(1);
    expect(stderr).toContain(
      'HAProxy does not run the new configuration 0 s after the reload: i-00000002 127.0.0.2, i-00000003 127.0.0.3 missing, i-00000002 2001:db8::2 left over. The next run reloads again',
    );
    expect((await wait(servers.slice(0, 1))).stderr).toContain('no server missing, i-00000002 2001:db8::2 left over');
  });

  test('names a worker that is older than the configuration', async () => {
    await written(new Date(Date.now() + 60_000));
    expect((await wait(servers)).stderr).toContain('after the reload: its worker is older than the configuration');
  });

  test('names the attribute when no HAProxy answers', async () => {
    const { stderr } = await wait(servers, '/nowhere');
    expect(stderr).toMatch(
      /node\['haproxy_ec2'\]\['stats_socket'\] is "\/nowhere"; expected a stats socket of HAProxy \(No such file/,
    );
  });

  /** Sets the time at which the configuration was written. */
  function written(time: Date): Promise<void> {
    return utimes(haproxy.configFile, time, time);
  }

  function wait(list: object[], socket = haproxy.statsSocket) {
    return run('ruby', ['-e', WAIT, LIBRARY], { input: JSON.stringify([socket, haproxy.configFile, list]) });
  }
});
