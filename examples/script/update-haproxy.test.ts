import { chmod, mkdir, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { describe, expect } from 'vitest';
import { run } from '../fixtures.ts';
import { IPV6, ONE, TEMPLATE, TWO, test, UNCHANGED, UPDATE, WITH_ONE } from './fixtures.ts';

const env = { CHECK_COMMAND: 'test -s' };
const CHANGED = { configuration: WITH_ONE, reloads: 1 };

describe('update-haproxy.sh', () => {
  test('asks for its arguments', async ({ folder, haproxy }) => {
    expect(await run(UPDATE, ['web', join(folder, 'template'), join(folder, 'haproxy.cfg')])).toEqual({
      code: 2,
      stdout: '',
      stderr: 'update-haproxy.sh: expected AUTO-SCALING-GROUP[:...] TEMPLATE CONFIGURATION RELOAD-COMMAND...\n',
    });
    expect(await haproxy()).toEqual(UNCHANGED);
  });

  test.for([
    ['EC2 fails half-way', ONE, 255, '', TEMPLATE],
    ['no server is left', '', 0, 'no server to keep in web', TEMPLATE],
    ['the template has no place for the servers', ONE, 0, 'template has no line @SERVERS@', WITH_ONE],
    ['the place for the servers is not a whole line', ONE, 0, 'has no line @SERVERS@', `${WITH_ONE}# @SERVERS@\n`],
    ['lines end with CRLF', ONE, 0, 'has no line @SERVERS@', TEMPLATE.replaceAll('\n', '\r\n')],
  ] as const)(
    'fails and changes nothing when %s',
    async ([, prints, status, message, template], { folder, update, haproxy }) => {
      await writeFile(join(folder, 'template'), template);
      const { code, stderr } = await update(prints, { status, env });
      expect(code).toBe(status || 1);
      expect(stderr).toContain(message);
      expect(await haproxy()).toEqual(UNCHANGED);
      expect(await readdir(folder)).toEqual(['aws', 'haproxy.cfg', 'template', 'tmp']);
    },
  );

  test.for(['missing', 'a folder'])('names a template that is %s', async (kind, { folder, update, haproxy }) => {
    await rm(join(folder, 'template'));
    if (kind === 'a folder') await mkdir(join(folder, 'template'));
    expect(await update(ONE, { env })).toEqual({
      code: 1,
      stdout: '',
      stderr: `update-haproxy.sh: TEMPLATE is '${folder}/template'; expected a file that can be read\n`,
    });
    expect(await haproxy()).toEqual(UNCHANGED);
  });

  test('refuses a folder as the configuration, and a link into a missing folder', async ({ folder, update }) => {
    await rm(join(folder, 'haproxy.cfg'));
    await symlink('missing/haproxy.cfg', join(folder, 'haproxy.cfg'));
    const link = await update(ONE, { env });
    await rm(join(folder, 'haproxy.cfg'));
    await mkdir(join(folder, 'haproxy.cfg'));
    for (const { code, stderr } of [link, await update(ONE, { env })]) {
      expect(code).toBe(1);
      expect(stderr).toContain(`update-haproxy.sh: CONFIGURATION is '${folder}/haproxy.cfg'; expected`);
    }
    expect(await readdir(join(folder, 'haproxy.cfg'))).toEqual([]);
  });

  test('puts the servers into the template in order, and reloads', async ({ folder, update, haproxy }) => {
    expect(await update(TWO + ONE, { env })).toEqual({
      code: 0,
      stdout: `update-haproxy.sh: 2 servers in ${folder}/haproxy.cfg, reloaded\n`,
      stderr: '',
    });
    const servers = '    server i-00000001 10.0.0.1:80\n    server i-00000002 10.0.0.2:8080';
    expect(await haproxy()).toEqual({ configuration: TEMPLATE.replace('@SERVERS@', servers), reloads: 1 });
  });

  test('replaces every line @SERVERS@, also when the line is indented', async ({ folder, update, haproxy }) => {
    const places = (line: string) => TEMPLATE.replace('@SERVERS@', line) + TEMPLATE.replace('@SERVERS@', `\t${line} `);
    await writeFile(join(folder, 'template'), places('@SERVERS@'));
    await update(ONE, { env });
    const { configuration } = await haproxy();
    expect(configuration).toBe(WITH_ONE + WITH_ONE);
  });

  test('reloads only for a change, not for another order', async ({ folder, update, haproxy }) => {
    await update(ONE + TWO, { env });
    expect(await update(TWO + ONE, { env })).toEqual({ code: 0, stdout: '', stderr: '' });
    expect((await haproxy()).reloads).toBe(1);
    expect(await readdir(folder)).toEqual(['aws', 'haproxy.cfg', 'haproxy.cfg.loaded', 'reloads', 'template', 'tmp']);
    await update(ONE, { env });
    expect(await haproxy()).toEqual({ configuration: WITH_ONE, reloads: 2 });
  });

  test('replaces a configuration that somebody edited', async ({ folder, update, haproxy }) => {
    await update(ONE, { env });
    await writeFile(join(folder, 'haproxy.cfg'), `${WITH_ONE}# by hand\n`);
    await update(ONE, { env });
    expect(await haproxy()).toEqual({ configuration: WITH_ONE, reloads: 2 });
  });

  test('fails when the reload fails, and repeats the reload at the next run', async ({ folder, update, haproxy }) => {
    expect(await update(ONE, { env, reload: 'exit 3' })).toEqual({
      code: 1,
      stdout: '',
      stderr: 'update-haproxy.sh: the reload command ended with status 3; the next run repeats the reload\n',
    });
    expect(await readdir(folder)).toEqual(['aws', 'haproxy.cfg', 'template', 'tmp']);
    expect((await update(ONE, { env })).code).toBe(0);
    expect(await haproxy()).toEqual(CHANGED);
  });

  test('keeps a refused configuration in another file until the next good one', async ({ folder, update, haproxy }) => {
    const refuses = { CHECK_COMMAND: 'grep -q nothing-like-it' };
    expect(await update(ONE, { env: refuses })).toEqual({
      code: 1,
      stdout: '',
      stderr: `update-haproxy.sh: CHECK_COMMAND 'grep -q nothing-like-it' ended with status 1; the refused configuration is ${folder}/haproxy.cfg.new\n`,
    });
    expect(await haproxy()).toEqual(UNCHANGED);
    expect(await readFile(join(folder, 'haproxy.cfg.new'), 'utf8')).toBe(WITH_ONE);
    await update(ONE, { env });
    expect(await readdir(folder)).toEqual(['aws', 'haproxy.cfg', 'haproxy.cfg.loaded', 'reloads', 'template', 'tmp']);
    expect(await haproxy()).toEqual(CHANGED);
  });

  test('runs the check command with the new configuration at its end, before anything changes', async ({
    folder,
    update,
  }) => {
    await update(ONE, { env: { CHECK_COMMAND: `cp -t ${folder}/tmp ${folder}/haproxy.cfg` } });
    const [old, candidate = ''] = (await readdir(join(folder, 'tmp'))).toSorted();
    expect(await readFile(join(folder, 'tmp', `${old}`), 'utf8')).toBe(UNCHANGED.configuration);
    expect(await readFile(join(folder, 'tmp', candidate), 'utf8')).toBe(WITH_ONE);
  });

  test.for([0o600, 0o646])('gives its files the mode of the template', async (mode, { folder, update }) => {
    await chmod(join(folder, 'template'), mode);
    await update(ONE, { env: { CHECK_COMMAND: 'false' } });
    const modes = [(await stat(join(folder, 'haproxy.cfg.new'))).mode];
    await update(ONE, { env });
    for (const name of ['haproxy.cfg', 'haproxy.cfg.loaded']) modes.push((await stat(join(folder, name))).mode);
    expect(modes.map((all) => all & 0o777)).toEqual([mode, mode, mode]);
  });

  test('writes an IPv6 address in brackets', async ({ update, haproxy }) => {
    await update('i-00000001\\t2001:db8::2\\tnull\\n', { env });
    expect((await haproxy()).configuration).toBe(WITH_ONE.replace('10.0.0.1', '[2001:db8::2]'));
  });

  test('replaces the target of a symbolic link, not the link', async ({ folder, update, haproxy }) => {
    await mkdir(join(folder, 'real'));
    await rm(join(folder, 'haproxy.cfg'));
    await symlink('real/target.cfg', join(folder, 'haproxy.cfg'));
    await update(ONE, { env });
    expect(await readFile(join(folder, 'real/target.cfg'), 'utf8')).toBe(WITH_ONE);
    expect(await haproxy()).toEqual(CHANGED);
    expect(await readdir(join(folder, 'real'))).toEqual(['target.cfg', 'target.cfg.loaded']);
  });

  test('finds servers-to-keep.sh when a symbolic link starts the script', async ({ folder, update, haproxy }) => {
    await update(ONE, { env: { CHECK_COMMAND: 'false' } });
    await symlink(resolve(UPDATE), join(folder, 'link'));
    const args = [
      'web',
      join(folder, 'template'),
      join(folder, 'haproxy.cfg'),
      'sh',
      '-c',
      'echo >>"$0/reloads"',
      folder,
    ];
    const PATH = `${folder}:${process.env.PATH}`;
    expect(await run(join(folder, 'link'), args, { env: { ...process.env, ...env, PATH } })).toMatchObject({ code: 0 });
    expect(await haproxy()).toEqual(CHANGED);
  });

  test('lets two runs at the same time both succeed', async ({ folder, update, haproxy }) => {
    // Both runs have made their files before either goes on.
    const reload = 'echo reload >>"$0/reloads"; until [ "$(wc -l <"$0/reloads")" -eq 2 ]; do sleep 0.05; done';
    const codes = (await Promise.all([update(ONE, { env, reload }), update(ONE, { env, reload })])).map(
      ({ code }) => code,
    );
    expect(codes).toEqual([0, 0]);
    expect(await haproxy()).toEqual({ configuration: WITH_ONE, reloads: 2 });
    expect(await readdir(folder)).toEqual(['aws', 'haproxy.cfg', 'haproxy.cfg.loaded', 'reloads', 'template', 'tmp']);
  });

  describe('with STATS_SOCKET', () => {
    const FIXED = ['web fixed 10.0.0.8 80', 'web i-0000fed0 10.0.0.9 80', 'other i-00000003 10.0.0.3 80'];
    const FIRST = 'web i-00000001 10.0.0.1 80';
    const SECOND = 'web i-00000002 10.0.0.2 8080';
    const BEFORE = haproxySays('Pid: 8', 'Uptime_sec: 55');
    const settings = { ...env, STATS_SOCKET: '/run/stats.sock' };

    /** HAProxy's answer to `show info; show servers state`, with these servers. */
    function haproxySays(pid: string, uptime: string, ...servers: string[]): string {
      const header = '1\n# be_id be_name srv_id srv_name srv_addr srv_port';
      const lines = servers.map((server) => server.replace(/^(\S+) /, '3 $1 1 '));
      return ['Name: HAProxy', pid, 'Uptime: 0d', uptime, '', header, ...lines, '', ''].join('\n');
    }

    const scripted = test
      .extend('answers', ({ folder }) => async (before: string, after: string) => {
        const template = TEMPLATE.replace('@SERVERS@', '  server i-0000fed0 10.0.0.9:80\n  @SERVERS@');
        await writeFile(join(folder, 'template'), template);
        await writeFile(join(folder, 'answer'), before);
        await writeFile(join(folder, 'answer-after-reload'), after);
        const program = `#!/bin/sh\ncat >"${folder}/question"\necho "$@" >>"${folder}/question"\ncat "${folder}/answer"\n`;
        await writeFile(join(folder, 'socat'), program, { mode: 0o755 });
        await writeFile(join(folder, 'sleep'), `#!/bin/sh\necho >>"${folder}/sleeps"\n`, { mode: 0o755 });
      })
      .extend('reload', ({ update }) => (prints: string) => {
        return update(prints, {
          env: settings,
          reload: 'echo reload >>"$0/reloads"; cp "$0/answer-after-reload" "$0/answer"',
        });
      });

    scripted.for([
      ['exactly the written servers run', ONE + TWO, [FIRST, SECOND]],
      ['HAProxy shortens an IPv6 address', IPV6, ['web i-00000006 2001:db8:0:1::2 80']],
    ] as const)('succeeds when %s', async ([, prints, servers], { folder, answers, reload }) => {
      await answers(BEFORE, haproxySays('Pid: 9', 'Uptime_sec: 0', ...FIXED, ...servers));
      expect(await reload(prints)).toMatchObject({ code: 0, stderr: '' });
      expect(await reload(prints)).toEqual({ code: 0, stdout: '', stderr: '' });
      const question = 'show info; show servers state\n-t3 - UNIX-CONNECT:/run/stats.sock\n';
      expect(await readFile(join(folder, 'question'), 'utf8')).toBe(question);
    });

    scripted.for([
      ['a server is missing', haproxySays('Pid: 9', '', FIRST), 'web/i-00000002 10.0.0.2:8080 is missing'],
      [
        'another server runs',
        haproxySays('Pid: 9', '', FIRST, SECOND, 'web i-00000004 10.0.0.4 80'),
        'web/i-00000004 10.0.0.4:80 still runs',
      ],
      [
        'an address differs',
        haproxySays('Pid: 9', '', 'web i-00000001 10.0.0.11 80', SECOND),
        'web/i-00000001 10.0.0.1:80 is missing',
      ],
      [
        'a port differs',
        haproxySays('Pid: 9', '', FIRST, 'web i-00000002 10.0.0.2 80'),
        'web/i-00000002 10.0.0.2:8080 is missing',
      ],
      [
        'the worker is the old one',
        haproxySays('Pid: 8', 'Uptime_sec: 70', FIRST, SECOND),
        'its worker is still process 8',
      ],
      ['HAProxy does not answer', 'Connection refused\n', 'no answer: Connection refused'],
    ] as const)(
      'fails when %s after the reload',
      async ([, after, difference], { folder, answers, reload, haproxy }) => {
        await answers(BEFORE, after);
        expect(await reload(ONE + TWO)).toEqual({
          code: 1,
          stdout: '',
          stderr: `update-haproxy.sh: HAProxy does not run ${folder}/haproxy.cfg after the reload: ${difference}\n`,
        });
        expect((await haproxy()).reloads).toBe(1);
        expect(await readdir(folder)).not.toContain('haproxy.cfg.loaded');
        expect(await readFile(join(folder, 'sleeps'), 'utf8')).toBe('\n'.repeat(15));
      },
    );

    scripted('reloads once, not in every run, when HAProxy never answers', async ({ answers, reload, haproxy }) => {
      await answers('Connection refused\n', 'Connection refused\n');
      const runs = [await reload(ONE), await reload(ONE)];
      expect(runs.map(({ code }) => code)).toEqual([1, 1]);
      expect(runs[0]?.stderr).toContain('after the reload: no answer: Connection refused');
      expect(runs[1]?.stderr).toContain('cannot be compared with');
      expect((await haproxy()).reloads).toBe(1);
    });

    // A container gives the process id of the old worker to the new one.
    scripted('takes a restart for a new worker', async ({ answers, reload }) => {
      await answers(BEFORE, haproxySays('Pid: 8', 'Uptime_sec: 9', FIRST));
      expect(await reload(ONE)).toMatchObject({ code: 0, stderr: '' });
    });

    scripted('names a missing socat', async ({ folder, haproxy }) => {
      for (const name of ['sh', 'dirname']) await symlink(`/bin/${name}`, join(folder, name));
      const args = ['web', join(folder, 'template'), join(folder, 'haproxy.cfg'), 'true'];
      expect(await run(UPDATE, args, { env: { PATH: folder, STATS_SOCKET: '/run/stats.sock' } })).toEqual({
        code: 2,
        stdout: '',
        stderr: "update-haproxy.sh: STATS_SOCKET is '/run/stats.sock', but socat is not installed\n",
      });
      expect(await haproxy()).toEqual(UNCHANGED);
    });
  });

  test.for(['aws', 'check', 'reload'])(
    'ends everything and leaves no file when SIGTERM comes during %s',
    async (program, { folder, update, endWhileHanging }) => {
      await update(ONE, { env: { CHECK_COMMAND: 'false' } });
      await rm(join(folder, 'haproxy.cfg.new'));
      const args = ['web', join(folder, 'template'), join(folder, 'haproxy.cfg'), join(folder, 'reload')];
      const CHECK_COMMAND = program === 'check' ? join(folder, 'check') : 'test -s';
      const PATH = `${folder}:${process.env.PATH}`;
      expect(await endWhileHanging(program, UPDATE, args, { ...process.env, CHECK_COMMAND, PATH })).toBe(143);
      expect((await readdir(folder)).filter((name) => name.startsWith('haproxy'))).toEqual(['haproxy.cfg']);
      expect(await readdir(join(folder, 'tmp'))).toEqual([]);
    },
  );
});
