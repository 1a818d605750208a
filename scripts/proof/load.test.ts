import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { beforeAll, expect, test } from 'vitest';
import { startLoad } from './load.ts';
import { type PlannedRequest, plannedRequests, type Result } from './requests.ts';

const PLAN = { requestsPerSecond: 400, loadMs: 1000 };
const SERVER = 'i-0a1b2c3d4e5f60700';
const planned = plannedRequests(PLAN);

type Answer = (response: ServerResponse, rightAnswer: string) => unknown;
/** The answers that make a request lost, and the cause; by the request's number. */
const faults = new Map<number, readonly [cause: string, answer: Answer]>();

const reset: Answer = (response) => response.req.socket.resetAndDestroy();
// The server adds the first request of each method over a connection that is used again.
const methodsToResetOnReuse = new Set<string | undefined>(['GET', 'POST']);

givenFault(0, { method: 'POST', keptAlive: false }, 'reset', reset);
givenFault(20, { method: 'GET', keptAlive: false }, 'reset', reset);
givenFault(40, { method: 'GET' }, 'wrong answer', (response, right) => response.end(right.replace(/^\d/, '9')));
givenFault(10, { method: 'POST' }, 'wrong answer', (response, right) =>
  response.end(right.replace('order-', 'other-')),
);
givenFault(50, { method: 'GET' }, 'wrong answer', (response, right) => response.end(right.replace(SERVER, '')));
givenFault(20, { method: 'POST' }, '503 Service Unavailable', (response, right) => response.writeHead(503).end(right));
givenFault(80, { method: 'GET' }, 'HPE_INVALID_CONSTANT', ({ req }) => req.socket.end('not HTTP\r\n\r\n'));

/** Makes the nth planned request of this kind, after the first 50, a lost one. */
function givenFault(n: number, kind: Partial<PlannedRequest>, cause: string, answer: Answer): void {
  const isOfKind = (request: PlannedRequest) => expect.objectContaining(kind).asymmetricMatch(request);
  faults.set(planned.slice(50).filter(isOfKind)[n]?.number ?? Number.NaN, [cause, answer]);
}

/** The requests as they came to two servers. */
const received: { request: Partial<PlannedRequest>; body: string; socket: Socket; server: number }[] = [];
let results: readonly Result[];

beforeAll(async () => {
  const servers = [0, 1].map((n) => createServer((request, response) => void answer(n, request, response)));
  const load = await startLoad({ plan: PLAN, ports: await Promise.all(servers.map(portOf)) });
  results = await load.results;
  await load.stop();
  for (const server of servers) server.close().closeAllConnections();
});

async function answer(server: number, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const query = new URL(request.url ?? '', 'http://server').searchParams;
  const number = Number(query.get('number'));
  const { method, socket } = request;
  const body = await text(request);
  const isUsedAgain = received.some((other) => other.socket === socket);
  const keptAlive = request.headers.connection === 'keep-alive';
  const asPlanned = { number, answerMs: Number(query.get('ms')), method, keptAlive } as Partial<PlannedRequest>;
  received.push({ request: asPlanned, body, socket, server });
  if (isUsedAgain && !faults.has(number) && methodsToResetOnReuse.delete(method)) {
    faults.set(number, ['reset on a reused connection', reset]);
  }
  const rightAnswer = `${number} ${body} ${SERVER}`;
  const [, fault] = faults.get(number) ?? [];
  if (fault) fault(response, rightAnswer);
  else response.end(rightAnswer);
}

test('each request is sent once, as planned, also if it is lost', () => {
  const inOrder = received.toSorted((a, b) => (a.request.number ?? 0) - (b.request.number ?? 0));
  expect(inOrder.map(({ request, body }) => ({ ...request, body }))).toEqual(
    planned.map(({ at: _, ...request }) => ({
      ...request,
      body: request.method === 'POST' ? `order-${request.number}` : '',
    })),
  );
});

test('the ports are used in turns', () => {
  expect(received.filter(({ request, server }) => (request.number ?? 0) % 2 !== server)).toEqual([]);
});

test('a connection is used again only if it is kept alive', () => {
  const connections = [...Map.groupBy(received, ({ socket }) => socket).values()];
  const [kept = [], single = []] = [true, false].map((keptAlive) =>
    connections.filter(([first]) => first?.request.keptAlive === keptAlive),
  );
  expect(kept.length).toBeLessThan(planned.filter(({ keptAlive }) => keptAlive).length);
  expect(single).toHaveLength(planned.filter(({ keptAlive }) => !keptAlive).length);
});

test('each result is in order, with the server that answered or the cause of the loss', () => {
  expect(results.map(({ at, server, cause }) => ({ at, server, cause }))).toEqual(
    planned.map(({ number, at }) => {
      const [cause] = faults.get(number) ?? [];
      return { at, server: cause ? undefined : SERVER, cause };
    }),
  );
  expect(results.filter(({ cause }) => cause)).toHaveLength(9);
});

test('no request is sent before it is due', async () => {
  const server = createServer((_, response) => response.end());
  const load = await startLoad({ plan: { requestsPerSecond: 10, loadMs: 300 }, ports: [await portOf(server)] });
  // A request that is sent too early ends before it is due. Timers may be a millisecond early.
  expect(Math.min(...(await load.results).map(({ ms }) => ms))).toBeGreaterThan(-2);
  await load.stop();
  server.close().closeAllConnections();
});

test('an idle connection is closed by the load generator', async () => {
  // The load goes on until its last request is answered, and has connections that are idle until then.
  const last = planned.findIndex(({ keptAlive }, n) => n > 10 && !keptAlive);
  const closed = Promise.withResolvers<ServerResponse | undefined>();
  let unanswered: ServerResponse | undefined;
  const server = createServer(({ url, headers, socket }, response) => {
    if (url?.includes(`number=${last}&`)) unanswered = response;
    else response.end();
    if (headers.connection === 'keep-alive') socket.once('end', () => closed.resolve(unanswered));
  });
  // The server never closes.
  server.keepAliveTimeout = 0;
  const plan = { ...PLAN, loadMs: ((last + 1) * 1000) / PLAN.requestsPerSecond };
  const load = await startLoad({ plan, ports: [await portOf(server)] });
  expect(await closed.promise).toMatchObject({ destroyed: false });
  await load.stop();
  server.close().closeAllConnections();
});

test('a request without an answer in time is lost', async () => {
  const server = createServer(() => {});
  const plan = { requestsPerSecond: 1000, loadMs: 1 };
  const load = await startLoad({ plan, ports: [await portOf(server)], timeoutMs: 50 });
  expect(await load.results).toEqual([expect.objectContaining({ at: 0, cause: 'no answer in time' })]);
  await load.stop();
  server.close().closeAllConnections();
});

async function portOf(server: Server): Promise<number> {
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
}
