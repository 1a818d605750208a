import { expect, test } from 'vitest';
import { skippedWithout } from '../test/helpers/programs.ts';
import { freePort } from './free-port.ts';
import { globalSection, startHaproxy } from './haproxy.ts';
import { isServed } from './haproxy-statistics.ts';
import { temporaryFolder } from './temporary-folder.ts';

const INSTANCE = 'i-0123456789abcdef0';
const skipped = skippedWithout({ haproxy: '-v' }, "the reading of HAProxy's own statistics");

test.skipIf(skipped)('HAProxy shows when a server is drained, over its socket and its page', async () => {
  await using cleanup = new AsyncDisposableStack();
  const { path: folder } = cleanup.use(await temporaryFolder('statistics-'));
  const port = await freePort();
  const haproxy = await startHaproxy(
    folder,
    `${globalSection(folder)}
defaults
    mode http
    timeout connect 1s
    timeout client 1s
    timeout server 1s
frontend statistics
    bind 127.0.0.1:${port}
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
  const sources = [haproxy.statsSocket, `http://me:p%40ss@127.0.0.1:${port}/stats;csv`];
  const byName = { instanceId: INSTANCE, address: '10.0.0.7' };
  const byAddress = { instanceId: 'i-00000008', address: '10.0.0.8' };
  const absent = { instanceId: 'i-00000009', address: '10.0.0.9' };
  const served = (source: string) => Promise.all([byName, byAddress, absent].map((server) => isServed(source, server)));
  for (const source of sources) expect(await served(source)).toEqual([true, true, false]);
  for (const name of [INSTANCE, 'web2']) await haproxy.ask(`set server web/${name} state drain`);
  for (const source of sources) expect(await served(source)).toEqual([false, false, false]);
});
