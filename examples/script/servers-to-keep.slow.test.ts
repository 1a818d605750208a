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

const PORT_TAG = 'HAProxy:Service:Port';
const PAGE = '<html><head><title>Proxy login</title></head><body/></html>';

/** EC2's answer with one instance. */
const answer = (content: string) => `<DescribeInstancesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">
  <reservationSet><item><instancesSet><item><instanceId>i-00000001</instanceId>${content}</item></instancesSet></item>
  </reservationSet><nextToken>next</nextToken></DescribeInstancesResponse>`;

// One after the other, because the script gives the AWS CLI a limited time.
describe.skipIf(skippedWithout({ aws: '--version' }, LIST))('servers-to-keep.sh', () => {
  test('prints the running instances of the group without the tag', async ({ given, serversToKeep }) => {
    given('i-00000001', '10.0.0.1', { name: DEFAULT_TAG.value });
    given('i-00000002', '10.0.0.2', TAGGED);
    given('i-00000003', '10.0.0.3', { [DEFAULT_TAG.key]: 'no', [PORT_TAG]: '8080' });
    given('i-00000004', '10.0.0.4', { 'aws:autoscaling:groupName': 'another' });
    given('i-00000005', '10.0.0.5', { [DEFAULT_TAG.key]: `${DEFAULT_TAG.value}!` });
    const states = ['pending', 'shutting-down', 'terminated', 'stopping', 'stopped'] as const;
    for (const [n, state] of states.entries()) given(`i-1000000${n}`, '10.0.0.9', {}, state);
    expect(await serversToKeep('web')).toEqual({
      code: 0,
      stdout: 'i-00000001\t10.0.0.1\t80\ni-00000003\t10.0.0.3\t8080\ni-00000005\t10.0.0.5\t80\n',
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

  test('finds groups by any name', async ({ given, serversToKeep }) => {
    const names = [
      '-web',
      'web,api',
      ' web',
      '[web]',
      '{web',
      "web's",
      'wéb',
      'we\\b',
      'web\\',
      '@web',
      '=$(id)',
      'w*',
      'w?',
    ];
    // The last two names, taken as wildcards, match this name.
    given('i-00000000', '10.0.0.9', { 'aws:autoscaling:groupName': 'wx' });
    const ids = names.map((_, n) => `i-1000000${n.toString(16)}`);
    for (const [n, name] of names.entries()) given(ids[n] ?? '', '10.0.0.1', { 'aws:autoscaling:groupName': name });
    expect(await serversToKeep(names.join(':'))).toEqual({
      code: 0,
      stdout: ids.map((id) => `${id}\t10.0.0.1\t80\n`).join(''),
      stderr: '',
    });
  });

  test('takes several groups, and keeps the servers of one when another is empty', async ({ given, serversToKeep }) => {
    given('i-00000001', '10.0.0.1', { ...TAGGED, 'aws:autoscaling:groupName': 'blue' });
    given('i-00000002', '10.0.0.2', { 'aws:autoscaling:groupName': 'green' });
    given('i-00000003', '10.0.0.3', { 'aws:autoscaling:groupName': 'red' });
    const green = 'i-00000002\t10.0.0.2\t80\n';
    expect((await serversToKeep('blue:green')).stdout).toBe(green);
    expect((await serversToKeep('green:blue:red')).stdout).toBe(`${green}i-00000003\t10.0.0.3\t80\n`);
    expect(await serversToKeep('blue:empty')).toEqual({
      code: 1,
      stdout: '',
      stderr: 'servers-to-keep.sh: no server to keep in blue:empty; leave the load balancer as it is\n',
    });
  });

  test('prints the IPv6 address of an instance without a private IPv4 address', async ({ ec2, serversToKeep }) => {
    const ipv6Address = '2001:db8::2';
    ec2.instances.set('i-00000001', instance({}, { privateIpAddress: '10.0.0.1', ipv6Address }));
    ec2.instances.set('i-00000002', instance({}, { ipv6Address }));
    ec2.instances.set('i-00000003', instance());
    expect(await serversToKeep('web')).toEqual({
      code: 0,
      stdout: 'i-00000001\t10.0.0.1\t80\ni-00000002\t2001:db8::2\t80\n',
      stderr: 'servers-to-keep.sh: i-00000003 is left out: its address is None; expected an IPv4 or IPv6 address\n',
    });
  });

  test('finds the IPv6 address at the network interface', async ({ ec2, serversToKeep }) => {
    const addresses = ['2001:db8::3', '2001:db8::4'].map(
      (address) =>
        `<item><ipv6AddressesSet><item><ipv6Address>${address}</ipv6Address></item></ipv6AddressesSet></item>`,
    );
    const html = answer(`<networkInterfaceSet><item/>${addresses.join('')}</networkInterfaceSet>`);
    ec2.faults.push({ status: 200, html: html.replace('<nextToken>next</nextToken>', '') });
    expect((await serversToKeep('web')).stdout).toBe('i-00000001\t2001:db8::3\t80\n');
  });

  test('leaves out and names an instance whose port tag is not a port', async ({ given, serversToKeep }) => {
    const tags = ['80; rm', '80/tcp', '+80', ' ', '80\n    server evil 10.6.6.6:80', '80\t', '80\\n81', '"', '\u007f'];
    for (const [n, tag] of tags.entries()) given(`i-0000000${n}`, '10.0.0.1', { [PORT_TAG]: tag });
    given('i-0000000a', '10.0.0.2', { [PORT_TAG]: '8080' });
    const shown = tags.map((tag) => JSON.stringify(tag).replace('\u007f', '\\u007f'));
    const { code, stdout, stderr } = await serversToKeep('web');
    expect({ code, stdout }).toEqual({ code: 0, stdout: 'i-0000000a\t10.0.0.2\t8080\n' });
    expect(stderr.trimEnd().split('\n')).toEqual(
      shown.map(
        (tag, n) =>
          `servers-to-keep.sh: i-0000000${n} is left out: its tag HAProxy:Service:Port is ${tag}; expected 1 to 65535`,
      ),
    );
  });

  test.for([
    ['the answer', []],
    ['the second page', [answer('<privateIpAddress>10.0.0.1</privateIpAddress>')]],
  ] as const)('prints nothing and fails when %s is not from EC2', async ([, pages], { ec2, serversToKeep }) => {
    ec2.faults.push(...[...pages, PAGE].map((html) => ({ status: 200, html })));
    expect(await serversToKeep('web')).toEqual({
      code: 1,
      stdout: '',
      stderr: 'servers-to-keep.sh: the answer is not from EC2: it has the line "None"; expected an instance\n',
    });
    expect(ec2.calls).toHaveLength(pages.length + 1);
  });

  test('asks EC2 again after throttling, and says when throttling goes on', async ({ ec2, given, serversToKeep }) => {
    given('i-00000001', '10.0.0.1');
    const throttled = { status: 503, code: 'RequestLimitExceeded' };
    ec2.faults.push(throttled);
    expect((await serversToKeep('web', { AWS_MAX_ATTEMPTS: undefined })).stdout).toBe('i-00000001\t10.0.0.1\t80\n');
    expect(ec2.calls).toHaveLength(2);
    ec2.lastingFault = throttled;
    const { code, stdout, stderr } = await serversToKeep('web', { AWS_MAX_ATTEMPTS: '1' });
    expect({ code, stdout }).toEqual({ code: expect.any(Number), stdout: '' });
    expect(code).not.toBe(0);
    expect(stderr.trim()).toMatch(/^.*RequestLimitExceeded.*$/);
    expect(ec2.calls).toHaveLength(3);
  });

  test('ends within 20 s when EC2 does not answer', async ({ ec2, serversToKeep }) => {
    ec2.lastingFault = 'hang';
    const started = performance.now();
    expect(await serversToKeep('web', { AWS_MAX_ATTEMPTS: undefined })).toEqual({
      code: 124,
      stdout: '',
      stderr: 'servers-to-keep.sh: EC2 did not answer within 18 s\n',
    });
    expect(performance.now() - started).toBeLessThan(20_000);
    // A connection may be dead. The second try has a new connection.
    expect(ec2.calls).toHaveLength(2);
  });
});
