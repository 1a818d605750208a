import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { Surroundings } from '../scripts/drain/consumer.ts';
import { runtimeApi } from '../scripts/drain/consumers/runtime-api.ts';
import { script } from '../scripts/drain/consumers/script.ts';
import { pathWithAws } from './aws-cli.ts';
import { skippedWithout } from './programs.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'consumers-'));
});
afterEach(() => rm(folder, { recursive: true }));

test.each([runtimeApi, script])('$name says how to install the AWS CLI when it is missing', async (consumer) => {
  vi.stubEnv('PATH', folder);
  await expect(consumer.requirement()).rejects.toThrow('aws cannot be run; install the AWS CLI');
});

test('runtime-api says how to install socat when it is missing', async () => {
  await pathWithAws(folder, 'aws-cli/2.9.19 Python/3.11.2\\n', 0);
  vi.stubEnv('PATH', folder);
  await expect(script.requirement()).resolves.toBe('AWS CLI 2.9.19');
  await expect(runtimeApi.requirement()).rejects.toThrow('socat cannot be run; install it');
});

describe.skipIf(skippedWithout({ socat: '-V', haproxy: '-v' }, 'consumers of the proof'))('a consumer', () => {
  test.each([runtimeApi, script])('$name does not start when its first look fails', async (consumer) => {
    const PATH = await pathWithAws(folder, '', 255);
    await expect(consumer.start(surroundings({ ...process.env, PATH }))).rejects.toThrow(
      /has not begun: .*EC2 gave no whole answer|Command failed/,
    );
  });
});

function surroundings(environment: NodeJS.ProcessEnv): Surroundings {
  return {
    folder,
    configFile: join(folder, 'haproxy.cfg'),
    pidFile: join(folder, 'haproxy.pid'),
    statsSocket: join(folder, 'stats.sock'),
    staticConfiguration: 'backend web\n',
    serverPort: 1,
    group: 'web',
    ec2Url: 'http://127.0.0.1:1',
    region: 'us-west-2',
    environment: Object.fromEntries(Object.entries(environment).map(([name, value]) => [name, value ?? ''])),
    onProgress() {},
  };
}
