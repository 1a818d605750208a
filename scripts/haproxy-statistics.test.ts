import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import { type AddressInfo, createServer as createSocketServer } from 'node:net';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { isServed } from './haproxy-statistics.ts';
import { temporaryFolder } from './temporary-folder.ts';

const ID = 'i-0123456789abcdef0';
const SERVER = { instanceId: ID, address: '10.0.0.7' };

type Row = [name: string, status: string, address: string];
const DRAINED: Row = [ID, 'DRAIN', ''];

/** Statistics with the columns that count, among others. */
function csv(...rows: Row[]): string {
  const lines = rows.map(([name, status, address]) => `web,${name},0,${status},7,${address},http,`);
  return ['# pxname,svname,qcur,status,weight,addr,mode,', 'web,FRONTEND,,OPEN,,,http,', ...lines, ''].join('\n');
}

test.for<[string, Row[], boolean]>([
  ['a server named like the instance', [[ID, 'UP', '']], true],
  ['a server with the address of the instance', [['web1', 'no check', '10.0.0.7:8080']], true],
  ['a server with another address', [['web1', 'UP', '10.0.0.70:8080']], false],
  ['a server that is going up', [[ID, 'DOWN 1/2', '']], true],
  ['a drained server', [DRAINED], false],
  ['a server in maintenance', [[ID, 'MAINT (via web/i-1)', '']], false],
  ['a server out of balancing', [[ID, 'NOLB', '']], false],
  ['a server that only one of two backends has drained', [DRAINED, [ID, 'UP', '']], true],
  ['no server', [], false],
])('%s is served or not: %j', async ([, rows, expected]) => {
  expect(await isServed(await statsSocket(csv(...rows)), SERVER)).toBe(expected);
});

test('a server without a known address is found by its name only', async () => {
  const source = await statsSocket(csv(['web1', 'UP', '']));
  expect(await isServed(source, { instanceId: ID, address: undefined })).toBe(false);
});

describe('a page', () => {
  const ENVIRONMENT = { HAPROXY_STATS_USER: 'me', HAPROXY_STATS_PASSWORD: 'pässword:1' };

  test.for([
    ['of the URL, decoded', 'me:p%40ss%2F@', {}, 'me:p@ss/'],
    ['of the URL, with a lone %', 'me:100%@', {}, 'me:100%'],
    ['of the URL rather than of the environment', 'you:other@', ENVIRONMENT, 'you:other'],
    ['of the environment', '', ENVIRONMENT, 'me:pässword:1'],
    ['that do not exist', '', {}, undefined],
  ] as const)('gets user and password %s', async ([, userInfo, environment, expected]) => {
    const host = await page(({ headers: { authorization } }, response) => {
      const given = authorization && Buffer.from(authorization.replace('Basic ', ''), 'base64').toString();
      response.writeHead(given === expected ? 200 : 401).end(csv([ID, 'UP', '']));
    });
    expect(await isServed(`http://${userInfo}${host}/;csv`, SERVER, undefined, environment)).toBe(true);
  });

  test.for([
    [401, 'secret of the page', 'HTTP status 401; expected user and password in the URL'],
    [302, csv([ID, 'UP', '']), 'HTTP status 302; expected 200'],
    [200, '<html>secret</html>', 'the answer is not CSV'],
    [200, '# secret,svname,status\n', 'the answer is not CSV'],
    [200, '', 'the answer is not CSV'],
  ] as const)(
    'that answers %i %j is refused without its words, its password and a second request',
    async ([status, body, reason]) => {
      let requests = 0;
      const host = await page((_, response) => {
        requests += 1;
        response.writeHead(status, { location: `http://${host}/secret;csv` }).end(body);
      });
      const message = await errorOf(`http://me:secret@${host}/;csv`);
      expect(message).toContain(`--haproxy http://${host}/;csv: ${reason}`);
      expect(message).not.toContain('secret');
      expect(requests).toBe(1);
    },
  );

  test.for([
    ['http://me:secret@', 'http://'],
    ['HTTP:me:secret@', 'HTTP://'],
    // Not a URL, because the / in the password ends the host.
    ['http://me:secret/2@', 'http://'],
  ] as const)('with %s in its URL is named without the password when it does not answer', async ([start, shown]) => {
    const host = await page(({ socket }) => socket.destroy());
    const message = await errorOf(`${start}${host}/;csv`);
    expect(message).toContain(`--haproxy ${shown}${host}/;csv: `);
    expect(message).not.toContain('secret');
  });
});

test.for(['me:secret@', 'htps://me:secret@', 'http//me:secret@'])(
  'a source that begins with %s is refused without the password',
  async (start) => {
    const expected = '--haproxy …@host:8404/;csv: expected a socket path, or a URL with http:// or https://';
    expect(await errorOf(`${start}host:8404/;csv`)).toBe(expected);
  },
);

test('a socket whose answer is not statistics is refused without the words of the answer', async () => {
  const source = await statsSocket('Unknown command: secret\n');
  const reason = "the answer is not CSV; expected HAProxy's statistics (a URL ends in ;csv)";
  expect(await errorOf(source)).toBe(`--haproxy ${source}: ${reason}`);
});

async function errorOf(source: string): Promise<string> {
  return await isServed(source, SERVER, undefined, {}).then(
    () => 'no error',
    (error: Error) => error.message,
  );
}

/** A stats socket that answers `show stat` with this text. */
async function statsSocket(answer: string): Promise<string> {
  const { path: folder, remove } = await temporaryFolder('statistics-');
  const path = join(folder, 'stats.sock');
  const server = createSocketServer({ allowHalfOpen: true }, (socket) => {
    socket.on('data', (chunk) => socket.end(String(chunk) === 'show stat\n' ? answer : 'Unknown command'));
  });
  await once(server.listen(path), 'listening');
  onTestFinished(async () => {
    server.close();
    await remove();
  });
  return path;
}

/** @returns host and port. */
async function page(listener: RequestListener): Promise<string> {
  const server = createServer(listener);
  await once(server.listen(0, '127.0.0.1'), 'listening');
  onTestFinished(() => void server.close().closeAllConnections());
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}
