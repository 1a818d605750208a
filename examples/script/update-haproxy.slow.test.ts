import { execFile } from 'node:child_process';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, vi } from 'vitest';
import { askSocket, globalSection, startHaproxy } from '../../scripts/haproxy.ts';
import { startEc2Endpoint } from '../../scripts/local-aws/ec2-endpoint.ts';
import { awsCli } from '../../test/helpers/aws-cli.ts';
import { skippedWithout } from '../../test/helpers/programs.ts';
import { instance, run } from '../fixtures.ts';
import { test as base, IPV6, ONE, TEMPLATE, TWO, UNCHANGED, UPDATE, WITH_ONE } from './fixtures.ts';

const UNIT = 'examples/script/update-haproxy.service';
/** HAProxy cannot listen on this address, which is for documentation. `haproxy -c` does not notice. */
const CANNOT_START = 'listen cannot-start\n    bind 203.0.113.9:80\n';

const test = base
  /** A running HAProxy without servers, whose configuration is the folder's, and its template. */
  .extend('running', async ({ folder }, { onCleanup }) => {
    const template = `${globalSection(folder)}defaults
    mode http
    timeout connect 1s
    timeout client 1s
    timeout server 1s
listen web
    bind "unix@${folder}/web.sock"
    server fixed 127.0.0.1:9000
    server i-0000fed0 127.0.0.1:9001
  @SERVERS@
backend other
    server i-0000abc0 127.0.0.1:9002
`;
    await writeFile(join(folder, 'template'), template);
    const haproxy = await startHaproxy(folder, template.replace('@SERVERS@', ''));
    onCleanup(() => haproxy.stop());
    return { ...haproxy, template };
  })
  .extend('reload', ({ running, update }) => {
    /** Runs update-haproxy.sh with this AWS CLI and the stats socket. HAProxy is reloaded by a signal. */
    return (prints: string) =>
      update(prints, {
        env: { STATS_SOCKET: running.statsSocket },
        reload: 'echo reload >>"$0/reloads"; kill -USR2 "$(cat "$0/haproxy.pid")"',
      });
  })
  /** The names, addresses and ports of the servers in the backend "web". */
  .extend('servers', ({ running }) => async () => {
    const lines = (await running.ask('show servers state web')).split('\n').map((line) => line.split(' '));
    return lines.slice(2).flatMap((columns) => (columns[3] ? [`${columns[3]} ${columns[4]} ${columns[18]}`] : []));
  });
const OTHERS = ['fixed 127.0.0.1 9000', 'i-0000fed0 127.0.0.1 9001'];

describe.skipIf(skippedWithout({ haproxy: '-v' }, UPDATE))('update-haproxy.sh checks with HAProxy', () => {
  test('and changes nothing when HAProxy refuses the configuration', async ({ folder, update, haproxy }) => {
    await writeFile(join(folder, 'template'), `${TEMPLATE}    server twin 127.0.0.1:nothing\n`);
    const { code, stderr } = await update(ONE);
    expect(code).toBe(1);
    expect(stderr).toContain('127.0.0.1:nothing');
    expect(stderr).toContain("CHECK_COMMAND 'haproxy -c -f' ended with status 1");
    expect(await haproxy()).toEqual(UNCHANGED);
    await writeFile(join(folder, 'template'), TEMPLATE);
    expect(await update(ONE)).toMatchObject({ code: 0, stderr: '' });
    expect(await haproxy()).toEqual({ configuration: WITH_ONE, reloads: 1 });
  });

  test('a configuration of a folder and a file', async ({ folder, update, haproxy }) => {
    const [defaults = '', sections] = TEMPLATE.split(/^(?=frontend)/m);
    await mkdir(join(folder, 'conf.d'));
    await writeFile(join(folder, 'conf.d/defaults.cfg'), defaults);
    await writeFile(
      join(folder, 'conf.d/frontend.cfg'),
      'frontend second\n    bind 127.0.0.1:8001\n    use_backend web\n',
    );
    await writeFile(join(folder, 'template'), `${sections}`);
    const env = { CHECK_COMMAND: `haproxy -c -f ${folder}/conf.d -f` };
    expect(await update(ONE, { env })).toMatchObject({ code: 0, stderr: '' });
    // Alone, the folder has no backend "web".
    expect((await haproxy()).reloads).toBe(1);
  });
});

describe.skipIf(skippedWithout({ haproxy: '-v', socat: '-V' }, UPDATE))('update-haproxy.sh with STATS_SOCKET', () => {
  test('succeeds when HAProxy runs the written servers, and then leaves HAProxy alone', async ({
    running,
    reload,
    servers,
    haproxy,
  }) => {
    expect(await reload(ONE + TWO + IPV6)).toEqual({
      code: 0,
      stdout: `update-haproxy.sh: 3 servers in ${running.configFile}, reloaded\n`,
      stderr: '',
    });
    const ours = ['i-00000001 10.0.0.1 80', 'i-00000002 10.0.0.2 8080', 'i-00000006 2001:db8:0:1::2 80'];
    expect(await servers()).toEqual([...OTHERS, ...ours]);
    expect(await reload(ONE + TWO + IPV6)).toEqual({ code: 0, stdout: '', stderr: '' });
    expect((await haproxy()).reloads).toBe(1);
  });

  test.for([
    ['a server is gone', ONE + TWO, TWO, 'web/i-00000001 10.0.0.1:80 still runs'],
    ['only the template has changed', ONE, ONE, 'its worker is still process '],
  ] as const)(
    'fails when the new worker does not start and %s, until the worker starts',
    async ([, before, after, difference], { folder, running, reload, haproxy }) => {
      await reload(before);
      await writeFile(join(folder, 'template'), running.template + CANNOT_START);
      // Shortens the wait for the new worker. HAProxy tries to start this worker for 2 s.
      await writeFile(join(folder, 'sleep'), '#!/bin/sh\nPATH=/usr/bin:/bin\nexec sleep 0.3\n', { mode: 0o755 });
      for (const _ of ['first run', 'second run']) {
        const { code, stdout, stderr } = await reload(after);
        expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
        expect(stderr).toContain(`update-haproxy.sh: HAProxy does not run ${running.configFile} after the reload: `);
        expect(stderr).toContain(difference);
        // HAProxy forgets a reload until its master answers again.
        await vi.waitFor(() => askSocket(running.masterSocket, 'show proc'), { timeout: 10_000 });
      }
      await rm(join(folder, 'sleep'));
      await writeFile(join(folder, 'template'), running.template);
      expect(await reload(after)).toMatchObject({ code: 0, stderr: '' });
      expect((await haproxy()).reloads).toBe(4);
    },
  );

  test('reloads again when HAProxy has other servers, although no file has changed', async ({
    running,
    reload,
    servers,
    haproxy,
  }) => {
    await reload(ONE);
    await running.ask('set server web/i-00000001 addr 10.0.0.9');
    expect(await reload(ONE)).toEqual({
      code: 0,
      stdout: `update-haproxy.sh: 1 servers in ${running.configFile}, reloaded\n`,
      stderr: `update-haproxy.sh: HAProxy does not run ${running.configFile}, and is reloaded again: web/i-00000001 10.0.0.1:80 is missing\n`,
    });
    expect(await servers()).toEqual([...OTHERS, 'i-00000001 10.0.0.1 80']);
    expect((await haproxy()).reloads).toBe(2);
  });

  test('fails and reloads nothing when no file has changed and HAProxy does not answer', async ({
    running,
    reload,
    haproxy,
  }) => {
    await reload(ONE);
    await rm(running.statsSocket);
    const { code, stderr } = await reload(ONE);
    expect(code).toBe(1);
    expect(stderr).toContain(`HAProxy cannot be compared with ${running.configFile}: no answer: `);
    expect(stderr).toContain('No such file or directory');
    expect((await haproxy()).reloads).toBe(1);
  });
});

const limited = skippedWithout({ haproxy: '-v', setpriv: '--version', aws: '--version', socat: '-V' }, UNIT);
describe.skipIf(limited)('update-haproxy.service', () => {
  // Without systemd, only these limits can be tried: rights, and a home folder that is read-only.
  test.skipIf(process.getuid?.() !== 0)('gives the script enough rights', async ({ folder, running, servers }) => {
    await using ec2 = Object.assign(await startEc2Endpoint(), { [Symbol.asyncDispose]: () => ec2.close() });
    ec2.instances.set('i-00000001', instance({}, { privateIpAddress: '10.0.0.1' }));
    const [, names = ''] = /^CapabilityBoundingSet=(.*)$/m.exec(await readFile(UNIT, 'utf8')) ?? [];
    const capabilities = names.toLowerCase().replaceAll('cap_', '+').split(' ');
    const env = awsCli(ec2.url, { HOME: '/proc', STATS_SOCKET: running.statsSocket });
    const reload = ['sh', '-c', 'kill -USR2 "$(cat "$0/haproxy.pid")"', folder];
    const limits = ['--no-new-privs', `--bounding-set=${['-all', ...capabilities]}`, '--inh-caps=-all'];
    const args = [...limits, UPDATE, 'web', join(folder, 'template'), running.configFile, ...reload];
    expect(await run('setpriv', args, { env })).toMatchObject({ code: 0, stderr: '' });
    expect(await servers()).toEqual([...OTHERS, 'i-00000001 10.0.0.1 80']);
  });
});

describe.skipIf(skippedWithout({ 'systemd-analyze': '--version' }, UNIT))('update-haproxy.service', () => {
  test('has an exposure level well below 5.0', async () => {
    const args = ['security', '--offline=true', '--threshold=30', '--no-pager', UNIT];
    await promisify(execFile)('systemd-analyze', args);
  });
});
