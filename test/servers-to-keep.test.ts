import { execFile } from 'node:child_process';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type Ec2Endpoint, startEc2Endpoint } from '../scripts/aws/ec2-endpoint.ts';

const missing = (await run('aws', ['--version'])).code !== 0;
// In CI the AWS CLI has to be there: the tests run, and fail without it.
const skipped = missing && !process.env.CI;
if (skipped)
  console.warn('scripts/servers-to-keep.sh is not tested: it needs the AWS CLI (https://docs.aws.amazon.com/cli/)');

let ec2: Ec2Endpoint;
beforeAll(async () => {
  ec2 = await startEc2Endpoint();
});
afterAll(() => ec2.close());
beforeEach(() => ec2.instances.clear());

describe.skipIf(skipped)('servers-to-keep.sh', { timeout: 30_000 }, () => {
  test('prints the running instances of the group that do not carry the removal tag', async () => {
    givenInstance('i-00000001', '10.0.0.1', { name: 'kept' });
    givenInstance('i-00000002', '10.0.0.2', { remove_from_lb: 'yes' });
    givenInstance('i-00000003', '10.0.0.3', { remove_from_lb: 'no' });
    givenInstance('i-00000004', '10.0.0.4', { 'aws:autoscaling:groupName': 'another' });
    givenInstance('i-00000005', '10.0.0.5', {}, 'terminated');
    const { code, stdout, stderr } = await serversToKeep('web');
    expect({ code, stdout, stderr }).toEqual({
      code: 0,
      stdout: 'i-00000001\t10.0.0.1\ni-00000003\t10.0.0.3\n',
      stderr: '',
    });
  });

  test('takes the tag that the function was set to', async () => {
    givenInstance('i-00000001', '10.0.0.1', { drain: 'now' });
    givenInstance('i-00000002', '10.0.0.2', { remove_from_lb: 'yes' });
    const { stdout } = await serversToKeep('web', { TAG_KEY: 'drain', TAG_VALUE: 'now' });
    expect(stdout).toBe('i-00000002\t10.0.0.2\n');
  });

  test('fails rather than printing an empty list', async () => {
    givenInstance('i-00000001', '10.0.0.1', { remove_from_lb: 'yes' });
    const { code, stdout, stderr } = await serversToKeep('web');
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toContain('no server to keep in web');
  });

  test('fails when EC2 does', async () => {
    ec2.faults.push({ status: 403, code: 'UnauthorizedOperation' });
    const { code, stdout, stderr } = await serversToKeep('web');
    expect(code).not.toBe(0);
    expect(stdout).toBe('');
    expect(stderr).toContain('UnauthorizedOperation');
  });

  test('asks for the name of the group', async () => {
    const { code, stderr } = await serversToKeep();
    expect(code).not.toBe(0);
    expect(stderr).toContain('the name of an Auto Scaling group is missing');
  });
});

function givenInstance(id: string, privateIpAddress: string, tags: Record<string, string>, state?: 'terminated') {
  const all = { 'aws:autoscaling:groupName': 'web', ...tags };
  ec2.instances.set(id, { tags: new Map(Object.entries(all)), privateIpAddress, ...(state && { state }) });
}

function serversToKeep(group?: string, settings: Record<string, string> = {}) {
  return run('scripts/servers-to-keep.sh', group === undefined ? [] : [group], {
    ...process.env,
    AWS_ENDPOINT_URL: ec2.url,
    AWS_REGION: 'us-west-2',
    AWS_DEFAULT_REGION: 'us-west-2',
    AWS_ACCESS_KEY_ID: 'local',
    AWS_SECRET_ACCESS_KEY: 'local',
    ...settings,
  });
}

function run(file: string, args: string[], env: NodeJS.ProcessEnv = process.env) {
  return new Promise<{ code: unknown; stdout: string; stderr: string }>((resolve) => {
    execFile(file, args, { env }, (error, stdout, stderr) => resolve({ code: error?.code ?? 0, stdout, stderr }));
  });
}
