import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { awsCli, pathWithAws } from '../../test/helpers/aws-cli.ts';
import { skippedWithout, skippedWithoutChef } from '../../test/helpers/programs.ts';
import { startEc2Endpoint } from '../local-aws/ec2-endpoint.ts';
import { chef } from './consumers/chef.ts';
import { runtimeApi } from './consumers/runtime-api.ts';
import { script } from './consumers/script.ts';
import { freePort } from './fleet.ts';
import { startHaproxy } from './haproxy.ts';
import { surroundingsIn } from './test-surroundings.ts';

const skipped = skippedWithout({ socat: '-V', haproxy: '-v', aws: '--version' }, 'a consumer of the proof');
const chefSkipped = await skippedWithoutChef('the consumer chef');

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'a folder with spaces '));
});
afterEach(() => rm(folder, { recursive: true }));

describe.skipIf(skipped)('a consumer', () => {
  test.for([runtimeApi, script])('$name does not start when its first look fails', async (consumer) => {
    const PATH = await pathWithAws(folder, '', 255);
    await expect(consumer.start(surroundingsIn(folder, { environment: { PATH } }))).rejects.toThrow(
      /has not begun: .*EC2 gave no whole answer|Command failed/,
    );
  });

  test.for([runtimeApi, script])('$name takes a tagged instance out in a folder with spaces', takesATaggedInstanceOut);

  test.skipIf(chefSkipped).for([chef])(
    '$name takes a tagged instance out in a folder with spaces',
    takesATaggedInstanceOut,
  );
});

async function takesATaggedInstanceOut(consumer: typeof chef): Promise<void> {
  await using started = new AsyncDisposableStack();
  const ec2 = await startEc2Endpoint();
  started.defer(() => ec2.close());
  const servers = ['i-00000001', 'i-00000002'].map((instanceId, n) => ({
    instanceId,
    address: `127.0.0.${n + 2}`,
    port: 8080,
  }));
  for (const { instanceId, address } of servers) {
    const tags = new Map([['aws:autoscaling:groupName', 'web']]);
    if (instanceId === 'i-00000002') tags.set('remove_from_lb', 'yes');
    ec2.instances.set(instanceId, { tags, privateIpAddress: address, state: 'running' });
  }
  const haproxy = await startHaproxy(
    { folder, port: await freePort(), careful: false, environment: process.env },
    servers,
  );
  started.defer(() => haproxy.stop());
  const environment = awsCli(ec2.url) as Record<string, string>;
  const running = await consumer.start({ ...surroundingsIn(folder), ...haproxy, ec2Url: ec2.url, environment });
  started.defer(() => running.stop());
  await vi.waitFor(
    async () => {
      const names = [...((await haproxy.serversInPlace()) ?? [])];
      expect(names.filter((name) => name.startsWith('i-'))).toEqual(['i-00000001']);
    },
    { timeout: 60_000 },
  );
  expect(running.failures).toEqual([]);
}
