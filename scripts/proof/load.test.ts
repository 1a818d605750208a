import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { beforeAll, describe, expect, test } from 'vitest';
import { startLoad } from './load.ts';
import { type PlannedRequest, plannedRequests, type Result } from './requests.ts';

const PLAN = { seed: 1, requestsPerSecond: 400, loadMs: 1000 };
const SERVER = 'i-0a1b2c3d4e5f60700';

/** A request as it came to the server. */
interface Received {
  readonly number: number;
  readonly ms: number;
  readonly method: string | undefined;
  readonly body: string;
  readonly keptAlive: boolean;
  readonly socket: Socket;
}

describe('the load generator', () => {
  const planned = plannedRequests(PLAN);
  const received: Received[][] = [[], []];
  let results: readonly Result[];

  beforeAll(async () => {
    const servers = received.map((own) => createServer((request, response) => void answer(own, request, response)));
    const ports = await Promise.all(servers.map(portOf));
    const load = await startLoad({ plan: PLAN, ports });
    results = await load.results;
    await load.stop();
    for (const server of servers) server.close().closeAllConnections();
  });

  const faults = {
    resetPost: ofKind({ method: 'POST', keptAlive: false }),
    resetGet: ofKind({ method: 'GET', keptAlive: false }, 20),
    // The server chooses them: the first of each kind that comes over a connection that has served before.
    resetReusedPost: Number.NaN,
    resetReusedGet: Number.NaN,
    wrongNumber: ofKind({ method: 'GET' }, 40),
    wrongBody: ofKind({ method: 'POST' }, 10),
    noName: ofKind({ method: 'GET' }, 50),
    unavailable: ofKind({ method: 'POST' }, 20),
    notFound: ofKind({ method: 'GET' }, 60),
    garbage: ofKind({ method: 'GET' }, 80),
  };

  function ofKind(kind: Partial<PlannedRequest>, skip = 0): number {
    const such = planned
      .slice(50)
      .filter((request) => Object.entries(kind).every(([k, v]) => request[k as 'at'] === v));
    return such[skip]?.number ?? Number.NaN;
  }

  async function answer(own: Received[], request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '', 'http://server');
    const number = Number(url.searchParams.get('number'));
    const body = await text(request);
    const keptAlive = request.headers.connection === 'keep-alive';
    const ms = Number(url.searchParams.get('ms'));
    const reused = own.some(({ socket }) => socket === request.socket);
    own.push({ number, ms, method: request.method, body, keptAlive, socket: request.socket });
    if (reused && !Object.values(faults).includes(number)) {
      if (request.method === 'POST' && Number.isNaN(faults.resetReusedPost)) faults.resetReusedPost = number;
      if (request.method === 'GET' && Number.isNaN(faults.resetReusedGet)) faults.resetReusedGet = number;
    }
    switch (number) {
      case faults.resetPost:
      case faults.resetGet:
      case faults.resetReusedPost:
      case faults.resetReusedGet:
        request.socket.resetAndDestroy();
        return;
      case faults.wrongNumber:
        response.end(`${number + 1} ${body} ${SERVER}`);
        return;
      case faults.wrongBody:
        response.end(`${number} order-${number - 1} ${SERVER}`);
        return;
      case faults.noName:
        response.end(`${number} ${body} `);
        return;
      case faults.unavailable:
        response.writeHead(503).end(`${number} ${body} ${SERVER}`);
        return;
      case faults.notFound:
        response.writeHead(404).end(`${number} ${body} ${SERVER}`);
        return;
      case faults.garbage:
        request.socket.end('no answer at all\r\n\r\n');
        return;
      default:
        response.end(`${number} ${body} ${SERVER}`);
    }
  }

  const byNumber = () => received.flat().toSorted((a, b) => a.number - b.number);

  test('sends each request once, as planned, also if it is lost', () => {
    expect(
      byNumber().map(({ number, ms, method, body, keptAlive }) => ({ number, ms, method, body, keptAlive })),
    ).toEqual(
      planned.map(({ number, answerMs, method, keptAlive }) => ({
        number,
        ms: answerMs,
        method,
        body: method === 'POST' ? `order-${number}` : '',
        keptAlive,
      })),
    );
  });

  test('takes the ports in turns', () => {
    expect(received.map((own) => new Set(own.map(({ number }) => number % 2)))).toEqual([new Set([0]), new Set([1])]);
  });

  test('counts a request without an answer in time as lost', async () => {
    const server = createServer(() => {});
    const plan = { seed: 1, requestsPerSecond: 1000, loadMs: 1 };
    const load = await startLoad({ plan, ports: [await portOf(server)], timeoutMs: 50 });
    expect(await load.results).toEqual([expect.objectContaining({ at: 0, cause: 'timeout' })]);
    await load.stop();
    server.close().closeAllConnections();
  });

  test('uses a connection again only if it is kept alive', () => {
    const bySocket = Map.groupBy(received.flat(), ({ socket }) => socket);
    const kept = [...bySocket.values()].filter(([first]) => first?.keptAlive);
    const single = [...bySocket.values()].filter(([first]) => !first?.keptAlive);
    expect(kept.length).toBeLessThan(planned.filter(({ keptAlive }) => keptAlive).length);
    expect(single.every(({ length }) => length === 1)).toBe(true);
    expect(single).toHaveLength(planned.filter(({ keptAlive }) => !keptAlive).length);
  });

  test('reports how late it sent each request', () => {
    expect(results.every(({ lateMs }) => lateMs >= 0)).toBe(true);
    expect(results.some(({ lateMs }) => lateMs > 0)).toBe(true);
  });

  test('reports each request in order, with the server that answered or the cause of the loss', () => {
    expect(results.map(({ at }) => at)).toEqual(planned.map(({ at }) => at));
    const lost = Object.fromEntries(
      Object.entries(faults).map(([fault, number]) => [fault, [results[number]?.cause, results[number]?.detail]]),
    );
    expect(lost).toEqual({
      resetPost: ['reset', undefined],
      resetGet: ['reset', undefined],
      resetReusedPost: ['reset on reuse', undefined],
      resetReusedGet: ['reset on reuse', undefined],
      wrongNumber: ['other', expect.stringContaining(`wrong answer ${faults.wrongNumber + 1}`)],
      wrongBody: ['other', expect.stringContaining('wrong answer')],
      noName: ['other', expect.stringContaining('wrong answer')],
      unavailable: ['503', 'status 503'],
      notFound: ['other', 'status 404'],
      garbage: ['other', expect.stringMatching(/^HPE_/)],
    });
    const others = results.filter((_, number) => !Object.values(faults).includes(number));
    expect(new Set(others.map(({ server, cause }) => server ?? cause))).toEqual(new Set([SERVER]));
    expect(results.filter(({ server }) => server === undefined)).toHaveLength(Object.keys(faults).length);
  });
});

async function portOf(server: Server): Promise<number> {
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
}
