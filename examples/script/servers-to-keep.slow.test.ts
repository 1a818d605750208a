import { test as base, describe, expect } from 'vitest';
import { startEc2Endpoint } from '../../scripts/local-aws/ec2-endpoint.ts';
import type { Instance } from '../../scripts/local-aws/ec2-instances.ts';
import { DEFAULT_TAG } from '../../src/settings.ts';
import { awsCli } from '../../test/helpers/aws-cli.ts';
import { skippedWithout } from '../../test/helpers/programs.ts';
import { instance, run, TAGGED } from '../fixtures.ts';
import { LIST } from './fixtures.ts';

const test = base
  .extend('ec2', async ({ task: _ }, { onCleanup }) => {
    const ec2 = await startEc2Endpoint();
    onCleanup(() => ec2.close());
    return ec2;
  })
  .extend('given', ({ ec2 }) => {
    return (id: string, privateIpAddress: string, tags: object = {}, state: Instance['state'] = 'running') =>
      ec2.instances.set(id, instance(tags, { privateIpAddress, state }));
  })
  .extend('serversToKeep', ({ ec2 }) => {
    return (group: string, settings = {}) => run(LIST, [group], { env: awsCli(ec2.url, settings) });
  });

describe.skipIf(skippedWithout({ aws: '--version' }, LIST)).concurrent('servers-to-keep.sh', () => {
  test('prints the running instances of the group without the tag', async ({ given, serversToKeep }) => {
    given('i-00000001', '10.0.0.1', { name: DEFAULT_TAG.value });
    given('i-00000002', '10.0.0.2', TAGGED);
    given('i-00000003', '10.0.0.3', { [DEFAULT_TAG.key]: 'no', 'HAProxy:Service:Port': '8080' });
    given('i-00000004', '10.0.0.4', { 'aws:autoscaling:groupName': 'another' });
    const states = ['pending', 'shutting-down', 'terminated', 'stopping', 'stopped'] as const;
    for (const [n, state] of states.entries()) given(`i-1000000${n}`, '10.0.0.9', {}, state);
    expect(await serversToKeep('web')).toEqual({
      code: 0,
      stdout: 'i-00000001\t10.0.0.1\t80\ni-00000003\t10.0.0.3\t8080\n',
      stderr: '',
    });
  });

  test('takes the tag and the port from the environment', async ({ given, serversToKeep }) => {
    given('i-00000001', '10.0.0.1', { drain: 'now' });
    given('i-00000002', '10.0.0.2', TAGGED);
    const { stdout } = await serversToKeep('web', { TAG_KEY: 'drain', TAG_VALUE: 'now', PORT: '8000' });
    expect(stdout).toBe('i-00000002\t10.0.0.2\t8000\n');
  });

  test('prints every page of a large group', async ({ ec2, given, serversToKeep }) => {
    const ids = Array.from({ length: 1001 }, (_, n) => `i-1${n.toString().padStart(7, '0')}`);
    for (const id of ids) given(id, '10.0.0.1');
    const { stdout } = await serversToKeep('web');
    expect(stdout).toBe(ids.map((id) => `${id}\t10.0.0.1\t80\n`).join(''));
    expect(ec2.calls.map(({ parameters }) => parameters.get('MaxResults'))).toEqual(['1000', '1000']);
  });

  test('takes a comma as part of the group name', async ({ given, serversToKeep }) => {
    given('i-00000001', '10.0.0.1');
    given('i-00000002', '10.0.0.2', { 'aws:autoscaling:groupName': 'web,api' });
    const { stdout } = await serversToKeep('web,api');
    expect(stdout).toBe('i-00000002\t10.0.0.2\t80\n');
  });
});
