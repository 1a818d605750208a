import { writeFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { skippedWithout } from '../../test/helpers/programs.ts';
import { freePort } from '../free-port.ts';
import { temporaryFolder } from '../temporary-folder.ts';
import { ID, OTHER } from './fixtures.ts';
import { serverLines, startLoadBalancer } from './load-balancer.ts';

const FIRST = { instanceId: ID, address: '127.0.0.2', port: 8080 };
const SECOND = { instanceId: OTHER, address: '127.0.0.3', port: 8080 };
const skipped = skippedWithout({ haproxy: '-v' }, 'the load balancer of the proof');

test.skipIf(skipped)('the load balancer knows which servers get requests', async () => {
  await using cleanup = new AsyncDisposableStack();
  const { path: folder } = cleanup.use(await temporaryFolder('proof-'));
  const options = { folder, port: await freePort(), mode: 'plain', environment: process.env } as const;
  const haproxy = await startLoadBalancer(options, [FIRST, SECOND]);
  cleanup.defer(() => haproxy.stop());
  expect(await haproxy.serversInPlace()).toEqual(new Set([ID, OTHER]));
  await haproxy.ask(`set server web/${ID} state drain`);
  expect(await haproxy.serversInPlace()).toEqual(new Set([OTHER]));
  await writeFile(haproxy.configFile, haproxy.staticConfiguration + serverLines([FIRST]));
  await haproxy.reload();
  expect(await haproxy.serversInPlace()).toEqual(new Set([ID]));
  await haproxy.stop();
  expect(await haproxy.serversInPlace()).toBe(undefined);
});
