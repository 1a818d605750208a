import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, onTestFinished, test, vi } from 'vitest';
import { ID, OTHER } from './fixtures.ts';
import { connectGuest } from './guest.ts';

/** A load balancer that sends every second request to the instance. */
async function loadBalancer() {
  const answers: ServerResponse[] = [];
  const server = createServer((request, response) => {
    expect(request.url).toBe('/?stay');
    response.write(answers.length % 2 === 0 ? OTHER : ID);
    answers.push(response);
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  onTestFinished(() => void server.close().closeAllConnections());
  return { port: (server.address() as AddressInfo).port, answers };
}

test('a client stays connected to the instance, until it leaves', async () => {
  const { port, answers } = await loadBalancer();
  const guest = await connectGuest(port, ID, new AbortController().signal);
  await vi.waitFor(() => expect(answers.map(({ destroyed }) => destroyed)).toEqual([true, false]));
  answers[1]?.write('.');
  expect(guest.leave()).toBe(true);
  await vi.waitFor(() => expect(answers[1]?.destroyed).toBe(true));
});

test.for(['end', 'destroy'] as const)('a client notices that it is cut off: %s', async (end) => {
  const { port, answers } = await loadBalancer();
  const guest = await connectGuest(port, ID, new AbortController().signal);
  answers[1]?.[end]();
  await vi.waitFor(() => expect(guest.isConnected()).toBe(false));
  expect(guest.leave()).toBe(false);
});

test('a client that does not find the instance gives up when it is told to', async () => {
  const { port, answers } = await loadBalancer();
  const end = new AbortController();
  const connecting = connectGuest(port, 'i-00000001', end.signal);
  await vi.waitFor(() => expect(answers.length).toBeGreaterThan(3));
  end.abort(new Error('interrupted'));
  await expect(connecting).rejects.toThrow();
});
