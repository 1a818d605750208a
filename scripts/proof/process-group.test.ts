import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test, vi } from 'vitest';
import { runEvery } from './consumer.ts';
import { startProcessGroup } from './process-group.ts';

describe('a command of a consumer', () => {
  const environment = { PATH: process.env.PATH ?? '' };
  const { signal } = new AbortController();
  const onLine = () => {};

  test('hands over its lines, and says how it ended after its last line', async () => {
    const lines: string[] = [];
    const command = 'echo "$NAME"; echo failed >&2; seq 10000; exit 3';
    const group = await startProcessGroup('sh', ['-c', command], {
      environment: { ...environment, NAME: 'given' },
      onLine: (line) => void lines.push(line),
      signal,
    });
    expect(await group.ended).toBe('exit code 3');
    expect(lines).toHaveLength(10_002);
    expect(lines).toEqual(expect.arrayContaining(['failed', 'given', '10000']));
    await group.stop();
  });

  test('ends with all that it started when it is stopped, with what ignores SIGTERM too', async () => {
    await using child = await childOfACommand(signal);
    await child.group.stop();
    await child.ended;
  });

  test('ends with all that it started when the proof is interrupted', async () => {
    const end = new AbortController();
    await using child = await childOfACommand(end.signal);
    end.abort();
    expect(await child.group.ended).toBe('SIGTERM');
    await child.group.stop();
    await child.ended;
  });

  test('does not start after the proof was interrupted', async () => {
    const options = { environment, onLine, signal: AbortSignal.abort(new Error('interrupted')) };
    await expect(startProcessGroup('sh', ['-c', 'exit'], options)).rejects.toThrow('interrupted');
  });

  test('that is not there is an error', async () => {
    const options = { environment, onLine, signal };
    await expect(startProcessGroup('no-such-command', [], options)).rejects.toThrow('no-such-command');
  });

  /** Starts a command that starts a process that ignores SIGTERM. A connection shows that this process lives. */
  async function childOfACommand(signal: AbortSignal) {
    const server = createServer();
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const { port } = server.address() as { port: number };
    const connected = once(server, 'connection') as Promise<[Socket]>;
    const child = `process.on('SIGTERM', () => {}); require('node:net').connect(${port}, '127.0.0.1')`;
    const group = await startProcessGroup('sh', ['-c', '"$0" -e "$1" & wait', process.execPath, child], {
      environment,
      onLine,
      signal,
    });
    const [socket] = await connected;
    const ended = new Promise<void>((resolve) => socket.on('error', () => {}).once('close', () => resolve()));
    socket.resume();
    return { group, ended, [Symbol.asyncDispose]: async () => void server.close() };
  }
});

describe('a run at every interval', () => {
  test('fails at its start when the first one does', async () => {
    await expect(runEvery(10, () => Promise.reject(new Error('no permission')))).rejects.toThrow('no permission');
  });

  test('goes on after one that failed', async () => {
    const runs = vi.fn(async () => {});
    runs.mockResolvedValueOnce().mockRejectedValueOnce(new Error('out of order'));
    const consumer = await runEvery(5, runs);
    await vi.waitFor(() => expect(runs.mock.calls.length).toBeGreaterThan(3), 10_000);
    await consumer.stop();
    expect(consumer.failures).toEqual(['out of order']);
  });

  test('is not repeated after it is stopped', async () => {
    const runs = vi.fn(async () => {});
    const consumer = await runEvery(5, runs);
    await consumer.stop();
    runs.mockClear();
    const other = vi.fn(async () => {});
    const later = await runEvery(5, other);
    await vi.waitFor(() => expect(other.mock.calls.length).toBeGreaterThan(2), 10_000);
    await later.stop();
    expect(runs).not.toHaveBeenCalled();
  });

  test('is waited for when it is stopped', async () => {
    const [begun, end] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const runs = vi.fn(async () => {});
    runs.mockResolvedValueOnce().mockImplementationOnce(() => {
      begun.resolve();
      return end.promise;
    });
    const consumer = await runEvery(5, runs);
    await begun.promise;
    const stopped = consumer.stop();
    const first = await Promise.race([stopped.then(() => 'stopped'), sleep(0, 'still running')]);
    end.resolve();
    await stopped;
    expect(first).toBe('still running');
  });
});
