import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { expect, onTestFinished, test, vi } from 'vitest';
import { skippedWithout } from '../../test/helpers/programs.ts';
import { freePort } from '../proof/fleet.ts';
import { temporaryFolder } from '../temporary-folder.ts';
import { isServed } from './haproxy-statistics.ts';

const INSTANCE = 'i-0123456789abcdef0';
const skipped = skippedWithout({ haproxy: '-v' }, "the reading of HAProxy's own statistics");

test.skipIf(skipped)(
  "HAProxy's own statistics show when a server is drained, over its socket and its page",
  async () => {
    await using folder = await temporaryFolder('check-');
    const socket = join(folder.path, 'stats.sock');
    const file = join(folder.path, 'haproxy.cfg');
    const port = await freePort();
    await writeFile(
      file,
      `global
    stats socket ${socket} level admin
defaults
    mode http
    timeout connect 1s
    timeout client 1s
    timeout server 1s
frontend statistics
    bind 127.0.0.1:${port}
    stats enable
    stats uri /
    stats show-legends
backend web
    server ${INSTANCE} 127.0.0.1:1
    server web2 10.0.0.8:80
`,
    );
    const haproxy = spawn('haproxy', ['-db', '-f', file], { stdio: 'ignore' });
    const exited = once(haproxy, 'exit');
    onTestFinished(async () => {
      haproxy.kill();
      await exited;
    });
    const byName = { instanceId: INSTANCE, address: '10.0.0.7' };
    const byAddress = { instanceId: 'i-00000008', address: '10.0.0.8' };
    const sources = [socket, `http://127.0.0.1:${port}/;csv`];
    await vi.waitFor(async () => expect(await isServed(socket, byName)).toBe(true), 10_000);
    for (const source of sources) {
      expect(await isServed(source, byName)).toBe(true);
      expect(await isServed(source, byAddress)).toBe(true);
      expect(await isServed(source, { instanceId: 'i-00000009', address: '10.0.0.9' })).toBe(false);
    }
    for (const name of [INSTANCE, 'web2']) {
      await once(connect(socket).end(`set server web/${name} state drain\n`).resume(), 'close');
    }
    for (const source of sources) {
      expect(await isServed(source, byName)).toBe(false);
      expect(await isServed(source, byAddress)).toBe(false);
    }
  },
);
