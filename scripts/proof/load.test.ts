import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { beforeAll, expect, test } from 'vitest';
import { startLoad } from './load.ts';
import { type Cause, type PlannedRequest, plannedRequests, type Result } from './requests.ts';

const PLAN = { seed: 1, requestsPerSecond: 400, loadMs: 1000 };
const SERVER = 'i-0a1b2c3d4e5f60700';
const planned = plannedRequests(PLAN);

/** An answer that makes a request lost: the request's number, the server's answer, and the expected result. */
interface Fault {
  number: number;
  readonly answer: (response: ServerResponse, rightAnswer: string) => unknown;
  readonly cause: Cause;
  readonly detail?: string;
}

const reset = (response: ServerResponse) => response.req.socket.resetAndDestroy();
// The server chooses these: the first of each method over a connection that is used again.
const resetOnReuse: Record<string, Fault> = {
  GET: { number: Number.NaN, answer: reset, cause: 'reset on reuse' },
  POST: { number: Number.NaN, answer: reset, cause: 'reset on reuse' },
};
const faults: Fault[] = [
  { number: nth(0, { method: 'POST', keptAlive: false }), answer: reset, cause: 'reset' },
  { number: nth(20, { method: 'GET', keptAlive: false }), answer: reset, cause: 'reset' },
  ...Object.values(resetOnReuse),
  wrong(nth(40, { method: 'GET' }), (right) => right.replace(/^\d/, '9')),
  wrong(nth(10, { method: 'POST' }), (right) => right.replace('order-', 'other-')),
  wrong(nth(50, { method: 'GET' }), (right) => right.replace(SERVER, '')),
  {
    number: nth(20, { method: 'POST' }),
    answer: (response, right) => response.writeHead(503).end(right),
    cause: '503',
    detail: 'status 503',
  },
  {
    number: nth(60, { method: 'GET' }),
    answer: (response, right) => response.writeHead(404).end(right),
    cause: 'other',
    detail: 'status 404',
  },
  {
    number: nth(80, { method: 'GET' }),
    answer: ({ req }) => req.socket.end('not HTTP\r\n\r\n'),
    cause: 'other',
    detail: 'HPE_INVALID_CONSTANT',
  },
];

/** The number of the nth planned request of this kind, after the first 50. */
function nth(n: number, kind: Partial<PlannedRequest>): number {
  const isOfKind = (request: PlannedRequest) => expect.objectContaining(kind).asymmetricMatch(request);
  return planned.slice(50).filter(isOfKind)[n]?.number ?? Number.NaN;
}

function wrong(number: number, change: (rightAnswer: string) => string): Fault {
  const right = `${number} ${planned[number]?.method === 'POST' ? `order-${number}` : ''} ${SERVER}`;
  const answer = change(right);
  return { number, answer: (response) => response.end(answer), cause: 'other', detail: `wrong answer ${answer}` };
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
  const { method = '', socket } = request;
  const body = await text(request);
  const isUsedAgain = received.some((other) => other.socket === socket);
  const keptAlive = request.headers.connection === 'keep-alive';
  const asPlanned = { number, answerMs: Number(query.get('ms')), method, keptAlive } as Partial<PlannedRequest>;
  received.push({ request: asPlanned, body, socket, server });
  const onReuse = resetOnReuse[method];
  if (isUsedAgain && onReuse && Number.isNaN(onReuse.number) && !faults.some((fault) => fault.number === number)) {
    onReuse.number = number;
  }
  const rightAnswer = `${number} ${body} ${SERVER}`;
  const fault = faults.find((fault) => fault.number === number);
  if (fault) fault.answer(response, rightAnswer);
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
  expect(results.map(({ at }) => at)).toEqual(planned.map(({ at }) => at));
  const expected = planned.map(({ number }) => {
    const { cause, detail } = faults.find((fault) => fault.number === number) ?? {};
    return cause ? { cause, detail } : { server: SERVER };
  });
  expect(results.map(({ server, cause, detail }) => ({ server, cause, detail }))).toEqual(expected);
  expect(results.filter(({ cause }) => cause)).toHaveLength(10);
});

test('each result says how late the request was sent', () => {
  expect(results.every(({ lateMs }) => lateMs >= 0)).toBe(true);
  expect(results.some(({ lateMs }) => lateMs > 0)).toBe(true);
});

test('a request without an answer in time is lost', async () => {
  const server = createServer(() => {});
  const plan = { seed: 1, requestsPerSecond: 1000, loadMs: 1 };
  const load = await startLoad({ plan, ports: [await portOf(server)], timeoutMs: 50 });
  expect(await load.results).toEqual([expect.objectContaining({ at: 0, cause: 'timeout' })]);
  await load.stop();
  server.close().closeAllConnections();
});

async function portOf(server: Server): Promise<number> {
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
}
