import { writeFile } from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { skippedWithout } from '../../test/helpers/programs.ts';
import { freePort } from '../free-port.ts';
import { temporaryFolder } from '../temporary-folder.ts';
import { ID, OTHER } from './fixtures.ts';
import { type LoadBalancer, serverLines, startLoadBalancer } from './load-balancer.ts';

const FIRST = { instanceId: ID, address: '127.0.0.2', port: 8080 };
const SECOND = { instanceId: OTHER, address: '127.0.0.3', port: 8080 };

describe.skipIf(skippedWithout({ haproxy: '-v' }, 'the load balancer of the proof'))('the load balancer', () => {
  const cleanup: AsyncDisposable[] = [];
  let haproxy: LoadBalancer;
  beforeEach(async () => {
    await using started = new AsyncDisposableStack();
    const { path: folder } = started.use(await temporaryFolder('proof-'));
    const options = { folder, port: await freePort(), mode: 'plain', environment: process.env } as const;
    haproxy = await startLoadBalancer(options, [FIRST, SECOND]);
    started.defer(() => haproxy.stop());
    cleanup.push(started.move());
  });
  afterEach(async () => cleanup.pop()?.[Symbol.asyncDispose]());

  test.for(['drain', 'maint'])(
    'has no server in place in state %s, and has it again when it is ready',
    async (state) => {
      expect(await haproxy.serversInPlace()).toEqual(new Set([ID, OTHER]));
      await haproxy.ask(`set server web/${ID} state ${state}`);
      expect(await haproxy.serversInPlace()).toEqual(new Set([OTHER]));
      await haproxy.ask(`set server web/${ID} state ready`);
      expect(await haproxy.serversInPlace()).toEqual(new Set([ID, OTHER]));
    },
  );

  test('has no server in place that is not in the configuration after a reload', async () => {
    await writeFile(haproxy.configFile, haproxy.staticConfiguration + serverLines([FIRST]));
    await haproxy.reload();
    expect(await haproxy.serversInPlace()).toEqual(new Set([ID]));
  });

  test('knows nothing about its servers when it does not answer', async () => {
    await haproxy.stop();
    expect(await haproxy.serversInPlace()).toBe(undefined);
  });
});
