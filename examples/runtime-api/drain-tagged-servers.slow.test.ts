import { once } from 'node:events';
import { readdir, readFile, rm } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { describe, expect, vi } from 'vitest';
import { skippedWithout } from '../../test/helpers/programs.ts';
import { AWS, SCRIPT, test } from './fixtures.ts';

const skipped = skippedWithout({ haproxy: '-v', socat: '-V', aws: '--version' }, SCRIPT);

const [A, B, C] = ['i-0000000a', 'i-0000000b', 'i-0000000c'];
/** The columns in the answer to `show servers state`. */
const HEADER = '# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight\n';
const PATIENCE = { timeout: 60_000, interval: 50 };

describe.skipIf(skipped).concurrent('drain-tagged-servers.sh', () => {
  test('drains the servers of tagged instances in every backend, leaves the others alone, and says each change once', async ({
    given,
    haproxyWith,
    drainTagged,
  }) => {
    given(A, { remove_from_lb: 'yes' });
    given(B);
    given(C, { remove_from_lb: 'no' });
    const haproxy = await haproxyWith([A, B, C], { backends: ['web', 'api'] });
    const script = await drainTagged([haproxy.socket], { aws: AWS.real });
    await script.look();
    await script.look();
    expect(await haproxy.states()).toEqual([
      `web/${A}=DRAIN`,
      `web/${B}=no check`,
      `web/${C}=no check`,
      `api/${A}=DRAIN`,
      `api/${B}=no check`,
      `api/${C}=no check`,
    ]);
    expect(script.lines()).toEqual([
      `${haproxy.socket}: web/${A} is set to drain`,
      `${haproxy.socket}: api/${A} is set to drain`,
    ]);
  });

  test('brings a server back that it drained when the instance runs without the tag', async ({
    given,
    haproxyWith,
    drainTagged,
  }) => {
    const instance = given(A, { remove_from_lb: 'yes' });
    given(B);
    const haproxy = await haproxyWith([A, B]);
    const script = await drainTagged([haproxy.socket]);
    await script.look();
    expect(await haproxy.states()).toEqual([`web/${A}=DRAIN`, `web/${B}=no check`]);
    instance.tags.delete('remove_from_lb');
    await script.look();
    expect(await haproxy.states()).toEqual([`web/${A}=no check`, `web/${B}=no check`]);
    instance.tags.set('remove_from_lb', 'yes');
    await script.look();
    expect(await haproxy.states()).toEqual([`web/${A}=DRAIN`, `web/${B}=no check`]);
    expect(script.lines()).toEqual(
      ['drain', 'ready', 'drain'].map((state) => `${haproxy.socket}: web/${A} is set to ${state}`),
    );
  });

  test.for(['terminated', 'stopped', 'pending'] as const)(
    'does not bring a server back whose instance lost the tag and is %s',
    async (state, { given, haproxyWith, drainTagged }) => {
      const instance = given(A, { remove_from_lb: 'yes' });
      given(B);
      const haproxy = await haproxyWith([A, B]);
      const script = await drainTagged([haproxy.socket]);
      await script.look();
      instance.tags.delete('remove_from_lb');
      instance.state = state;
      await script.look();
      expect(await haproxy.states()).toEqual([`web/${A}=DRAIN`, `web/${B}=no check`]);
      instance.state = 'running';
      await script.look();
      expect(await haproxy.states()).toEqual([`web/${A}=no check`, `web/${B}=no check`]);
    },
  );

  test('does not bring a server back whose instance EC2 has forgotten, or lists without its group', async ({
    ec2,
    given,
    haproxyWith,
    drainTagged,
  }) => {
    given(A, { remove_from_lb: 'yes' });
    const other = given(C, { remove_from_lb: 'yes' });
    given(B);
    const haproxy = await haproxyWith([A, B, C]);
    const script = await drainTagged([haproxy.socket]);
    await script.look();
    ec2.instances.delete(A);
    other.tags.clear();
    await script.look();
    expect(await haproxy.states()).toEqual([`web/${A}=DRAIN`, `web/${B}=no check`, `web/${C}=DRAIN`]);
  });

  test('leaves alone what somebody else drained or put into maintenance, tagged or not', async ({
    given,
    haproxyWith,
    drainTagged,
  }) => {
    const [a, b] = [given(A, { remove_from_lb: 'yes' }), given(B, { remove_from_lb: 'yes' })];
    given(C);
    given('i-0000000d');
    const haproxy = await haproxyWith([A, B, C, 'i-0000000d']);
    await haproxy.ask(`set server web/${A} state drain`);
    await haproxy.ask(`set server web/${B} state maint`);
    await haproxy.ask(`set server web/${C} state drain`);
    const script = await drainTagged([haproxy.socket]);
    const byHand = [`web/${A}=DRAIN`, `web/${B}=MAINT`, `web/${C}=DRAIN`, 'web/i-0000000d=no check'];
    await script.look();
    expect(await haproxy.states()).toEqual(byHand);
    a.tags.delete('remove_from_lb');
    b.tags.delete('remove_from_lb');
    await script.look();
    expect(await haproxy.states()).toEqual(byHand);
    expect(script.lines()).toEqual([]);
  });

  test('drains again after a reload and after a restart of HAProxy, and still knows what to bring back', async ({
    given,
    haproxyWith,
    drainTagged,
  }) => {
    const instance = given(A, { remove_from_lb: 'yes' });
    given(B);
    const haproxy = await haproxyWith([A, B]);
    const script = await drainTagged([haproxy.socket]);
    await script.look();
    await haproxy.reload();
    expect(await haproxy.states()).toEqual([`web/${A}=no check`, `web/${B}=no check`]);
    await script.look();
    expect(await haproxy.states()).toEqual([`web/${A}=DRAIN`, `web/${B}=no check`]);
    await haproxy.stop();
    await script.look();
    const another = await haproxyWith([A, B]);
    await script.look();
    expect(await another.states()).toEqual([`web/${A}=DRAIN`, `web/${B}=no check`]);
    instance.tags.delete('remove_from_lb');
    await script.look();
    expect(await another.states()).toEqual([`web/${A}=no check`, `web/${B}=no check`]);
  });

  test('ends at once on SIGTERM with everything left as it is, and brings back what it drained before', async ({
    folder,
    given,
    haproxyWith,
    drainTagged,
  }) => {
    const instance = given(A, { remove_from_lb: 'yes' });
    given(B);
    const haproxy = await haproxyWith([A, B]);
    const first = await drainTagged([haproxy.socket], { settings: { INTERVAL: '1000' } });
    await first.answer();
    await vi.waitFor(() => expect(first.lines()).toHaveLength(1), PATIENCE);
    first.process.kill('SIGTERM');
    expect(await once(first.process, 'exit')).toEqual([null, 'SIGTERM']);
    expect(await haproxy.states()).toEqual([`web/${A}=DRAIN`, `web/${B}=no check`]);
    instance.tags.delete('remove_from_lb');
    const [record = ''] = await readdir(join(folder, 'state'));
    const second = await drainTagged([haproxy.socket], { settings: { INTERVAL: '1000' } });
    await second.answer();
    // The script drops a server from its record as soon as it has brought the server back.
    await vi.waitFor(async () => expect(await readFile(join(folder, 'state', record), 'utf8')).toBe(''), PATIENCE);
    expect(await haproxy.states()).toEqual([`web/${A}=no check`, `web/${B}=no check`]);
    await second.stop();
    await haproxy.ask(`set server web/${A} state drain`);
    const third = await drainTagged([haproxy.socket]);
    await third.look();
    expect(await haproxy.states()).toEqual([`web/${A}=DRAIN`, `web/${B}=no check`]);
  });

  test('knows what it drained even when it is killed before HAProxy has answered', async ({
    given,
    listen,
    drainTagged,
  }) => {
    const instance = given(A, { remove_from_lb: 'yes' });
    given(B);
    const arrived = Promise.withResolvers<void>();
    const server = await listen((connection) => {
      connection.once('data', (command) => {
        if (command.toString() === `set server web/${A} state drain\n`) arrived.resolve();
        else connection.end(`1\n${HEADER}3 web 1 ${A} 127.0.0.1 2 0 1\n\n`);
      });
    });
    const first = await drainTagged([server]);
    await first.answer();
    await arrived.promise;
    await first.stop();
    instance.tags.delete('remove_from_lb');
    await rm(server);
    // HAProxy has carried out the command of the killed script.
    const commands: string[] = [];
    await listen((connection) => {
      connection.once('data', (command) => {
        commands.push(command.toString());
        connection.end(/^show/.test(command.toString()) ? `1\n${HEADER}3 web 1 ${A} 127.0.0.1 2 8 1\n\n` : '\n');
      });
    }, server);
    const second = await drainTagged([server]);
    await second.look();
    expect(commands).toEqual(['show servers state\n', `set server web/${A} state ready\n`]);
  });

  test('does not bring back a server that somebody else drained after a restart of HAProxy', async ({
    given,
    haproxyWith,
    drainTagged,
  }) => {
    const instance = given(A, { remove_from_lb: 'yes' });
    given(B);
    const before = await haproxyWith([A, B]);
    const first = await drainTagged([before.socket]);
    await first.look();
    await first.stop();
    await before.stop();
    instance.tags.delete('remove_from_lb');
    const haproxy = await haproxyWith([A, B]);
    const second = await drainTagged([haproxy.socket]);
    await second.look();
    await haproxy.ask(`set server web/${A} state drain`);
    await second.look();
    expect(await haproxy.states()).toEqual([`web/${A}=DRAIN`, `web/${B}=no check`]);
    expect(second.lines()).toEqual([]);
  });

  test('gives up a server that HAProxy no longer has', async ({ given, haproxyWith, drainTagged }) => {
    const instance = given(A, { remove_from_lb: 'yes' });
    given(B);
    const before = await haproxyWith([A, B]);
    const script = await drainTagged([before.socket]);
    await script.look();
    await before.stop();
    const without = await haproxyWith([B]);
    await script.look();
    await without.stop();
    const haproxy = await haproxyWith([A, B]);
    await haproxy.ask(`set server web/${A} state drain`);
    instance.tags.delete('remove_from_lb');
    await script.look();
    expect(await haproxy.states()).toEqual([`web/${A}=DRAIN`, `web/${B}=no check`]);
  });

  test('serves each of several sockets; one that is dead is named, and served when it answers again', async ({
    folder,
    given,
    haproxyWith,
    drainTagged,
  }) => {
    given(A, { remove_from_lb: 'yes' });
    given(B);
    const one = await haproxyWith([A, B], { name: 'one' });
    const dead = join(folder, 'two', 'stats.sock');
    const script = await drainTagged([dead, one.socket]);
    await script.look();
    expect(await one.states()).toEqual([`web/${A}=DRAIN`, `web/${B}=no check`]);
    expect(script.lines()).toEqual([`${one.socket}: web/${A} is set to drain`]);
    expect(script.errors()).toContain(`${dead}: no answer; its servers stay as they are`);
    const two = await haproxyWith([A, B], { name: 'two' });
    await script.look();
    expect(await two.states()).toEqual([`web/${A}=DRAIN`, `web/${B}=no check`]);
  });

  test('changes nothing while EC2 refuses, says so, and goes on when EC2 answers again', async ({
    ec2,
    given,
    haproxyWith,
    drainTagged,
  }) => {
    given(A, { remove_from_lb: 'yes' });
    given(B);
    const haproxy = await haproxyWith([A, B]);
    ec2.lastingFault = { status: 403, code: 'UnauthorizedOperation' };
    const script = await drainTagged([haproxy.socket], { aws: AWS.real });
    await script.look();
    expect(await haproxy.states()).toEqual([`web/${A}=no check`, `web/${B}=no check`]);
    expect(script.errors()).toContain('UnauthorizedOperation');
    expect(script.errors()).toContain('EC2 gave no whole answer; nothing is changed');
    ec2.lastingFault = undefined;
    await script.look();
    expect(await haproxy.states()).toEqual([`web/${A}=DRAIN`, `web/${B}=no check`]);
  });

  // Without the script's option, the AWS CLI waits 60 s.
  test('waits seconds, not minutes, for an answer of EC2 that does not come', { timeout: 50_000 }, async ({
    ec2,
    given,
    haproxyWith,
    drainTagged,
  }) => {
    given(A, { remove_from_lb: 'yes' });
    given(B);
    const haproxy = await haproxyWith([A, B]);
    ec2.faults.push('hang');
    const script = await drainTagged([haproxy.socket], { aws: AWS.real });
    await script.look();
    await script.look();
    expect(await haproxy.states()).toEqual([`web/${A}=DRAIN`, `web/${B}=no check`]);
  });

  test('sends no command to HAProxy when the AWS CLI prints a part and then fails', async ({
    given,
    listen,
    drainTagged,
  }) => {
    given(A, { remove_from_lb: 'yes' });
    given(B);
    const connections: Socket[] = [];
    const socket = await listen((connection) => connections.push(connection));
    const script = await drainTagged([socket], { aws: AWS.fails });
    await script.look();
    expect(script.errors()).toBe('drain-tagged-servers.sh: EC2 gave no whole answer; nothing is changed\n');
    expect(connections).toEqual([]);
  });

  test('changes nothing when no instance would be left to serve, such as in a group whose name is wrong', async ({
    given,
    haproxyWith,
    drainTagged,
  }) => {
    given(A, { remove_from_lb: 'yes' });
    given(B, {}, 'terminated');
    given(C, { 'aws:autoscaling:groupName': 'another' });
    const haproxy = await haproxyWith([A, B, C]);
    const script = await drainTagged([haproxy.socket]);
    await script.look();
    expect(await haproxy.states()).toEqual([`web/${A}=no check`, `web/${B}=no check`, `web/${C}=no check`]);
    expect(script.errors()).toContain('no instance of web would be left to serve; nothing is changed');
  });

  test.for([
    ['breaks off', `1\n${HEADER}3 web 2 ${B} 127.0.0.1 2 0 1\n`, 'no answer'],
    [
      'has another format',
      `2\n${HEADER}3 web 2 ${B} 127.0.0.1 2 0 1\n\n`,
      "'show servers state' gives something unknown",
    ],
    ['has other columns', '1\n# srv_name srv_admin_state\n\n', "'show servers state' gives something unknown"],
    ['is a refusal', 'Permission denied\n\n', "'show servers state' gives something unknown"],
  ] as const)(
    'changes nothing when the answer of HAProxy %s',
    async ([, answer, complaint], { given, haproxyWith, listen, drainTagged }) => {
      given(A, { remove_from_lb: 'yes' });
      const b = given(B, { remove_from_lb: 'yes' });
      given(C);
      const before = await haproxyWith([A, B, C]);
      const script = await drainTagged([before.socket]);
      await script.look();
      await before.stop();
      const commands: string[] = [];
      const server = await listen((connection) => {
        connection.once('data', (command) => {
          commands.push(command.toString());
          connection.end(answer);
        });
      }, before.socket);
      b.tags.delete('remove_from_lb');
      await script.look();
      expect(script.errors()).toContain(`${server}: ${complaint}`);
      expect(commands).toEqual(['show servers state\n']);
    },
  );

  test('says what HAProxy answers to a change that it refuses, and tries again', async ({
    given,
    listen,
    drainTagged,
  }) => {
    given(A, { remove_from_lb: 'yes' });
    given(B);
    const socket = await listen((connection) => {
      connection.once('data', (command) => {
        const state = command.toString() === 'show servers state\n';
        connection.end(state ? `1\n${HEADER}3 web 2 ${A} 127.0.0.1 2 0 1\n\n` : 'Permission denied\n\n');
      });
    });
    const script = await drainTagged([socket]);
    const complaint = `drain-tagged-servers.sh: ${socket}: web/${A} could not be set to drain: Permission denied\n`;
    await script.look();
    expect(script.errors()).toBe(complaint);
    await script.look();
    expect(script.errors()).toBe(complaint + complaint);
    expect(script.lines()).toEqual([]);
  });

  test('takes the tag that the function was set to', async ({ given, haproxyWith, drainTagged }) => {
    given(A, { drain: 'now' });
    given(B, { remove_from_lb: 'yes' });
    const haproxy = await haproxyWith([A, B]);
    const settings = { TAG_KEY: 'drain', TAG_VALUE: 'now' };
    const script = await drainTagged([haproxy.socket], { aws: AWS.real, settings });
    await script.look();
    expect(await haproxy.states()).toEqual([`web/${A}=DRAIN`, `web/${B}=no check`]);
  });

  test('sees every page of a large group', async ({ ec2, given, haproxyWith, drainTagged }) => {
    for (let n = 0; n < 1000; n += 1) given(`i-1${n.toString().padStart(7, '0')}`);
    given(A, { remove_from_lb: 'yes' });
    const haproxy = await haproxyWith([A, B]);
    const script = await drainTagged([haproxy.socket], { aws: AWS.real });
    await script.look();
    expect(await haproxy.states()).toEqual([`web/${A}=DRAIN`, `web/${B}=no check`]);
    expect(ec2.calls.map(({ parameters }) => parameters.get('MaxResults'))).toEqual(['1000', '1000']);
  });
});
