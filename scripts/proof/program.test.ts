import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { expect, test } from 'vitest';
import { type ProgramOptions, startProgram } from './program.ts';

const OPTIONS: ProgramOptions = {
  environment: { PATH: process.env.PATH ?? '' },
  signal: new AbortController().signal,
  failureIn: () => undefined,
  hasRun: () => true,
};

test.for([
  ['it ends', 'echo "$NAME"; echo the reason >&2; exit 3', /^sh ended \(exit code 3\): .*the reason/],
  ['its first run fails', 'echo failed >&2; sleep 60', /^failed$/],
] as const)('a program does not start when %s', async ([, commands, message]) => {
  const failureIn = (line: string) => (line === 'failed' ? line : undefined);
  const starting = startProgram('sh', ['-c', commands], { ...OPTIONS, failureIn, hasRun: () => false });
  await expect(starting).rejects.toThrow(message);
});

test('a program ends with all processes that it started when its first run cannot be looked at', async () => {
  await using server = await listening();
  const hasRun = async () => {
    await server.connection;
    throw new Error('no statistics');
  };
  const starting = startProgram('sh', ['-c', ...server.connectInChild], { ...OPTIONS, hasRun });
  await expect(starting).rejects.toThrow('no statistics');
  await (await server.connection).ended;
});

test('a program that is stopped ends with all processes that it started', async () => {
  await using server = await listening();
  const program = await startProgram('sh', ['-c', ...server.connectInChild], OPTIONS);
  const { ended } = await server.connection;
  await program.stop();
  await ended;
  expect(program.failures).toEqual([]);
});

test('a program ends with all processes that it started when the proof is interrupted', async () => {
  await using server = await listening();
  const interruption = new AbortController();
  const options = { ...OPTIONS, signal: interruption.signal, hasRun: () => false };
  const starting = startProgram('sh', ['-c', ...server.connectInChild], options);
  const { ended } = await server.connection;
  interruption.abort();
  await expect(starting).rejects.toThrow('sh ended (SIGKILL)');
  await ended;
  await expect(startProgram('sh', ['-c', 'exit'], options)).rejects.toThrow('aborted');
});

/** A server for a child of a command. The connection shows that the child lives. */
async function listening() {
  const server = createServer();
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address() as { port: number };
  const connection = once(server, 'connection').then(([socket]: Socket[]) => ({
    ended: new Promise<void>((resolve) =>
      socket
        ?.on('error', () => {})
        .once('close', () => resolve())
        .resume(),
    ),
  }));
  const child = `require('node:net').connect(${port}, '127.0.0.1')`;
  return {
    connection,
    connectInChild: ['"$0" -e "$1" & wait', process.execPath, child],
    [Symbol.asyncDispose]: async () => void server.close(),
  };
}
