import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import { configuration, serverLines, startHaproxy } from './haproxy.ts';

describe('the configuration of HAProxy', () => {
  test('has no health checks, no retries and no redispatch that could hide a mistake of the function', () => {
    expect(configuration({ port: 1080, careful: false, statsSocket: '/run/stats.sock' })).toBe(`global
    # Old workers end by then, whatever their clients do.
    hard-stop-after 10s
    stats socket "/run/stats.sock" mode 600 level admin expose-fd listeners

defaults
    mode http
    timeout connect 1s
    timeout client 10s
    timeout server 10s
    timeout http-keep-alive 1000ms
    # A reload closes idle client connections at once, and a request that is already on its way over one of them is
    # reset. With this option they are closed with the answer to their next request.
    option idle-close-on-response

frontend web
    bind 127.0.0.1:1080
    default_backend web

backend web
    balance roundrobin
`);
  });

  test('has all of them when it is careful', () => {
    expect(configuration({ port: 1080, careful: true, statsSocket: '/run/stats.sock' })).toBe(`global
    # Old workers end by then, whatever their clients do.
    hard-stop-after 10s
    stats socket "/run/stats.sock" mode 600 level admin expose-fd listeners

defaults
    mode http
    timeout connect 1s
    timeout client 10s
    timeout server 10s
    timeout http-keep-alive 1000ms
    # A reload closes idle client connections at once, and a request that is already on its way over one of them is
    # reset. With this option they are closed with the answer to their next request.
    option idle-close-on-response
    option redispatch 1
    retries 3
    retry-on all-retryable-errors
    option httpchk GET /
    default-server check inter 250ms fall 2 rise 2 observe layer4 error-limit 1 on-error mark-down

frontend web
    bind 127.0.0.1:1080
    default_backend web

backend web
    balance roundrobin
    # It may have been carried out.
    http-request disable-l7-retry if METH_POST
`);
  });

  test('names each server by its instance', () => {
    const servers = [
      { instanceId: 'i-0a1b2c3d4e5f60700', address: '127.0.0.2', port: 8080 },
      { instanceId: 'i-0a1b2c3d4e5f60701', address: '127.0.0.3', port: 8080 },
    ];
    expect(serverLines(servers)).toBe(
      '    server i-0a1b2c3d4e5f60700 127.0.0.2:8080\n    server i-0a1b2c3d4e5f60701 127.0.0.3:8080\n',
    );
  });

  test.for([
    ['/a b/stats.sock', '"/a b/stats.sock"'],
    ['/"a"/$HOME/\\/stats.sock', '"/\\"a\\"/\\$HOME/\\\\/stats.sock"'],
  ] as const)('has the socket %s quoted', ([statsSocket, quoted]) => {
    expect(configuration({ port: 1080, careful: false, statsSocket })).toContain(`stats socket ${quoted} mode 600`);
  });
});

test('a folder whose sockets have too long paths is refused, with the length that fits', async () => {
  vi.stubEnv('TMPDIR', '/tmp/folder');
  // The longest path is /master.sock and a suffix for the process id.
  const longest = 107 - '/master.sock.1234567.tmp'.length;
  const folder = join(tmpdir(), 'x'.repeat(longest - tmpdir().length + 2));
  await expect(startHaproxy({ folder, port: 1, careful: false, environment: {} }, [])).rejects.toThrow(
    'TMPDIR is "/tmp/folder", 11 bytes long; expected at most 8 bytes',
  );
});
