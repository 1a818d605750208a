import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { access, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { runEvery } from '../scripts/drain/consumer.ts';
import { startProcessGroup } from '../scripts/drain/process-group.ts';

let folder: string;
/** Two processes, one started by the other; the number of seconds makes them known. */
let sleepers: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'drain-group-'));
  sleepers = `9${Math.floor(Math.random() * 1e8)}`;
});
afterEach(() => rm(folder, { recursive: true, force: true }));

describe('a command of a consumer', () => {
  const environment = { PATH: process.env.PATH ?? '' };

  test('hands over its lines, and says how it ended', async () => {
    const lines: string[] = [];
    const onLine = (line: string) => void lines.push(line);
    const command = 'echo "$NAME"; echo failed >&2; exit 3';
    const group = await startProcessGroup('sh', ['-c', command], {
      folder,
      environment: { ...environment, NAME: 'given' },
      onLine,
    });
    expect(await group.ended).toBe('exit code 3');
    await vi.waitFor(() => expect(lines.toSorted()).toEqual(['failed', 'given']));
    await group.stop();
  });

  test('ends with all that it started when it is stopped', async () => {
    const group = await startProcessGroup('sh', ['-c', `sleep ${sleepers} & sleep ${sleepers}`], {
      folder,
      environment,
      onLine: () => {},
    });
    await vi.waitFor(async () => expect(await sleeping()).toBe(2), 10_000);
    await group.stop();
    await vi.waitFor(async () => expect(await sleeping()).toBe(0), 10_000);
    expect(await readdir(folder)).toEqual([]);
  });

  test('ends with the working folder when the proof is killed', async () => {
    const proof = spawn(
      process.execPath,
      [
        '--input-type=module',
        '--eval',
        `import { mkdir } from 'node:fs/promises';
        import { makeWorkingFolder, startProcessGroup } from './scripts/drain/process-group.ts';
        const { path } = makeWorkingFolder();
        await mkdir(path + '/haproxy-1');
        await startProcessGroup('sh', ['-c', 'sleep ${sleepers} & sleep ${sleepers}'],
          { folder: path + '/haproxy-1', environment: process.env, onLine() {} });
        console.log(path);
        setInterval(() => {}, 1000);`,
      ],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    const [path] = await once(proof.stdout, 'data');
    await vi.waitFor(async () => expect(await sleeping()).toBe(2), 10_000);
    proof.kill('SIGKILL');
    await vi.waitFor(async () => expect(await sleeping()).toBe(0), 10_000);
    await vi.waitFor(() => expect(access(String(path).trim())).rejects.toThrow('ENOENT'), 10_000);
  });

  test('that is not there is an error', async () => {
    const options = { folder, environment, onLine: () => {} };
    await expect(startProcessGroup('no-such-command', [], options)).rejects.toThrow('no-such-command');
  });

  async function sleeping(): Promise<number> {
    const { stdout } = await promisify(execFile)('ps', ['-e', '-o', 'stat=,args=']);
    return stdout.split('\n').filter((line) => new RegExp(`^[^Z]\\S* +sleep ${sleepers}$`).test(line)).length;
  }
});

describe('a run at every interval', () => {
  test('fails at its start when the first one does', async () => {
    await expect(runEvery(10, () => Promise.reject(new Error('no permission')))).rejects.toThrow('no permission');
  });

  test('goes on after one that failed, until it is stopped', async () => {
    let runs = 0;
    const consumer = await runEvery(5, async () => {
      runs += 1;
      if (runs === 2) throw new Error('out of order');
    });
    await vi.waitFor(() => expect(runs).toBeGreaterThan(3), 10_000);
    await consumer.stop();
    const { length } = consumer.failures;
    expect({ length, failures: consumer.failures }).toEqual({ length: 1, failures: ['out of order'] });
    const before = runs;
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(runs).toBe(before);
  });
});
