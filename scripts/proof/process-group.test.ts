import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { expect, test } from 'vitest';
import { type ProcessGroupOptions, startProcessGroup } from './process-group.ts';

const OPTIONS: ProcessGroupOptions = {
  environment: { PATH: process.env.PATH ?? '' },
  onLine() {},
  onEnd() {},
  signal: new AbortController().signal,
};

test('a command hands over its lines, and says how it ended after its last line', async () => {
  const lines: string[] = [];
  const end = Promise.withResolvers<string>();
  const group = await startProcessGroup('sh', ['-c', 'echo "$NAME"; echo failed >&2; seq 10000; exit 3'], {
    ...OPTIONS,
    environment: { ...OPTIONS.environment, NAME: 'given' },
    onLine: (line) => void lines.push(line),
    onEnd: end.resolve,
  });
  expect(await end.promise).toBe('exit code 3');
  expect(lines).toHaveLength(10_002);
  expect(lines).toEqual(expect.arrayContaining(['failed', 'given', '10000']));
  await group.stop();
});

test('a command that is stopped ends with all processes that it started, even those that ignore SIGTERM', async () => {
  const ends: string[] = [];
  await using child = await childOfACommand({ ...OPTIONS, onEnd: (how) => void ends.push(how) });
  await child.group.stop();
  await child.ended;
  expect(ends).toEqual([]);
});

test('a command ends with all processes that it started when the proof is interrupted', async () => {
  const interruption = new AbortController();
  const end = Promise.withResolvers<string>();
  await using child = await childOfACommand({ ...OPTIONS, signal: interruption.signal, onEnd: end.resolve });
  interruption.abort();
  expect(await end.promise).toBe('SIGTERM');
  await child.group.stop();
  await child.ended;
});

test('a command does not start after the proof was interrupted', async () => {
  const options = { ...OPTIONS, signal: AbortSignal.abort(new Error('interrupted')) };
  await expect(startProcessGroup('sh', ['-c', 'exit'], options)).rejects.toThrow('interrupted');
});

test('a missing command is an error', async () => {
  await expect(startProcessGroup('no-such-command', [], OPTIONS)).rejects.toThrow('no-such-command');
});

/** Starts a command that starts a process that ignores SIGTERM. A connection shows that this process lives. */
async function childOfACommand(options: ProcessGroupOptions) {
  const server = createServer();
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address() as { port: number };
  const connected = once(server, 'connection') as Promise<[Socket]>;
  const child = `process.on('SIGTERM', () => {}); require('node:net').connect(${port}, '127.0.0.1')`;
  const group = await startProcessGroup('sh', ['-c', '"$0" -e "$1" & wait', process.execPath, child], options);
  const [socket] = await connected;
  const ended = new Promise<void>((resolve) => socket.on('error', () => {}).once('close', () => resolve()));
  socket.resume();
  return { group, ended, [Symbol.asyncDispose]: async () => void server.close() };
}
