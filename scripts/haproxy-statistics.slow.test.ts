import { expect, test } from 'vitest';
import { skippedWithout } from '../test/helpers/programs.ts';
import { freePort } from './free-port.ts';
import { globalSection, startHaproxy } from './haproxy.ts';
import { isServed } from './haproxy-statistics.ts';
import { temporaryFolder } from './temporary-folder.ts';

const INSTANCE = 'i-0123456789abcdef0';
const skipped = skippedWithout({ haproxy: '-v' }, "the reading of HAProxy's own statistics");

test.skipIf(skipped)('HAProxy shows when a server is drained, over its socket and its pages', async () => {
  await using cleanup = new AsyncDisposableStack();
  const { path: folder } = cleanup.use(await temporaryFolder('statistics-'));
  const [open, behindPassword] = [await freePort(), await freePort()];
  const haproxy = await startHaproxy(
    folder,
    `${globalSection(folder)}
defaults
    mode http
    timeout connect 1s
    timeout client 1s
    timeout server 1s
frontend open
    bind 127.0.0.1:${open}
    stats enable
    stats show-legends
    stats uri /
frontend behind-password
    bind 127.0.0.1:${behindPassword}
    stats enable
    stats show-legends
    stats uri /stats
    stats auth me:p@ss
backend web
    server ${INSTANCE} 127.0.0.1:1
    server web2 10.0.0.8:80
`,
  );
  cleanup.defer(() => haproxy.stop());
  const byName = { instanceId: INSTANCE, address: '10.0.0.7' };
  const byAddress = { instanceId: 'i-00000008', address: '10.0.0.8' };
  const page = `127.0.0.1:${behindPassword}/stats;csv`;
  const environment = { HAPROXY_STATS_USER: 'me', HAPROXY_STATS_PASSWORD: 'p@ss' };
  const sources = [
    [haproxy.statsSocket, {}],
    [`http://127.0.0.1:${open}/;csv`, {}],
    [`http://me:p%40ss@${page}`, {}],
    [`http://${page}`, environment],
  ] as const;
  for (const [source, environment] of sources) {
    expect(await isServed(source, byName, undefined, environment)).toBe(true);
    expect(await isServed(source, byAddress, undefined, environment)).toBe(true);
    const absent = { instanceId: 'i-00000009', address: '10.0.0.9' };
    expect(await isServed(source, absent, undefined, environment)).toBe(false);
  }
  await expect(isServed(`http://me:wrong@${page}`, byName, undefined, environment)).rejects.toThrow('HTTP status 401');
  for (const name of [INSTANCE, 'web2']) await haproxy.ask(`set server web/${name} state drain`);
  for (const [source, environment] of sources) {
    expect(await isServed(source, byName, undefined, environment)).toBe(false);
    expect(await isServed(source, byAddress, undefined, environment)).toBe(false);
  }
});
