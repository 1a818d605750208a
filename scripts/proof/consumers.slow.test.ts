import { readFile, writeFile } from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { DEFAULT_TAG } from '../../src/settings.ts';
import { awsCli, pathWithAws } from '../../test/helpers/aws-cli.ts';
import { skippedWithout, skippedWithoutChef } from '../../test/helpers/programs.ts';
import { freePort } from '../free-port.ts';
import { type Ec2Endpoint, startEc2Endpoint } from '../local-aws/ec2-endpoint.ts';
import type { Instance } from '../local-aws/ec2-instances.ts';
import { temporaryFolder } from '../temporary-folder.ts';
import { consumerThatRan, recordCommands } from './commands.ts';
import type { Consumer } from './consumer.ts';
import { chef } from './consumers/chef.ts';
import { own } from './consumers/own.ts';
import { runtimeApi } from './consumers/runtime-api.ts';
import { script } from './consumers/script.ts';
import { surroundingsIn } from './fixtures.ts';
import { startLoadBalancer } from './load-balancer.ts';

const skipped = skippedWithout({ socat: '-V', haproxy: '-v', aws: '--version' }, 'a consumer of the proof');
const chefSkipped = await skippedWithoutChef('the consumer chef');
const [A, B] = ['i-00000001', 'i-00000002'];
const TAGGED = { [DEFAULT_TAG.key]: DEFAULT_TAG.value };

let cleanup: AsyncDisposableStack;
let folder: string;
let ec2: Ec2Endpoint;
beforeEach(async () => {
  cleanup = new AsyncDisposableStack();
  folder = cleanup.use(await temporaryFolder('a folder with spaces ')).path;
  ec2 = cleanup.adopt(await startEc2Endpoint(), (endpoint) => endpoint.close());
});
afterEach(() => cleanup.disposeAsync());

function givenInstance(id: string, address: string, tags: object = {}, state: Instance['state'] = 'running'): void {
  const all = { 'aws:autoscaling:groupName': 'web', ...tags };
  ec2.instances.set(id, { tags: new Map(Object.entries(all)), privateIpAddress: address, state });
}

describe.skipIf(skipped)('a consumer', () => {
  test.for([runtimeApi, script])('$name does not start when its first run fails', async (consumer) => {
    const PATH = await pathWithAws(folder, '', 255);
    await expect(consumer.start(surroundingsIn(folder, { environment: { PATH } }))).rejects.toThrow(
      /EC2 did not answer completely|Command failed/,
    );
  });

  const name = '$name takes a tagged instance out, adds none that does not serve, and reports a later run that fails';
  test.for([own, runtimeApi, script])(name, takesATaggedInstanceOut);
  test.skipIf(chefSkipped).for([chef])(name, takesATaggedInstanceOut);

  async function takesATaggedInstanceOut(consumer: Consumer): Promise<void> {
    givenInstance(A, '127.0.0.2', { [DEFAULT_TAG.key]: 'no' });
    givenInstance(B, '127.0.0.3', TAGGED);
    givenInstance('i-00000003', '127.0.0.4', { 'aws:autoscaling:groupName': 'another' });
    const states = ['pending', 'shutting-down', 'terminated', 'stopping', 'stopped'] as const;
    for (const [n, state] of states.entries()) givenInstance(`i-0000001${n}`, '127.0.0.9', {}, state);
    const servers = [A, B].map((instanceId, n) => ({ instanceId, address: `127.0.0.${n + 2}`, port: 8080 }));
    const options = { folder, port: await freePort(), mode: 'plain', environment: process.env } as const;
    const haproxy = cleanup.adopt(await startLoadBalancer(options, servers), ({ stop }) => stop());
    const environment = awsCli(ec2.url) as Record<string, string>;
    const surroundings = { ...surroundingsIn(folder), ...haproxy, ec2Url: ec2.url, environment };
    const commands = new Set<string>();
    const starting = recordCommands(commands, () => consumer.start(surroundings));
    const { failures } = cleanup.adopt(await starting, ({ stop }) => stop());
    await vi.waitFor(async () => expect(await haproxy.serversInPlace()).toEqual(new Set([A])), 60_000);
    expect(failures).toEqual([]);
    expect(consumerThatRan(consumer.name, commands)).toBe(consumer.name);
    ec2.lastingFault = { status: 403, code: 'UnauthorizedOperation' };
    await vi.waitFor(() => expect(failures).not.toEqual([]), 60_000);
  }
});

test('the own consumer reloads HAProxy only when the servers have changed', async () => {
  const surroundings = surroundingsIn(folder, { ec2Url: ec2.url });
  // This process plays HAProxy's master, and counts the signals for a reload.
  await writeFile(surroundings.pidFile, String(process.pid));
  await writeFile(surroundings.configFile, surroundings.staticConfiguration);
  let reloads = 0;
  const countReload = () => {
    reloads += 1;
  };
  process.on('SIGUSR2', countReload);
  cleanup.defer(() => void process.off('SIGUSR2', countReload));

  givenInstance(A, '127.0.0.2');
  givenInstance(B, '127.0.0.3');
  const { failures } = cleanup.adopt(await own.start(surroundings, 50), ({ stop }) => stop());
  await vi.waitFor(() => expect(reloads).toBe(1), 20_000);
  const asked = ec2.calls.length;
  await vi.waitFor(() => expect(ec2.calls.length).toBeGreaterThan(asked + 1), 20_000);
  expect(reloads).toBe(1);
  givenInstance(B, '127.0.0.3', TAGGED);
  await vi.waitFor(() => expect(reloads).toBe(2), 20_000);
  const written = await readFile(surroundings.configFile, 'utf8');
  expect(written.match(/^ {4}server .*$/gm)).toEqual([`    server ${A} 127.0.0.2:8080`]);
  expect(failures).toEqual([]);
});
