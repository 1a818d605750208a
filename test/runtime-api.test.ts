import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { type Ec2Endpoint, startEc2Endpoint } from '../scripts/aws/ec2-endpoint.ts';
import type { Instance } from '../scripts/aws/ec2-instances.ts';
import { awsCli, pathWithAws } from './aws-cli.ts';
import { skippedWithout } from './programs.ts';
import { type SocketHaproxy, startHaproxy } from './stats-socket.ts';

const SCRIPT = 'examples/runtime-api/drain-tagged-servers.sh';
const skipped = skippedWithout({ haproxy: '-v', socat: '-V', aws: '--version' }, SCRIPT);

const [A, B, C] = ['i-0000000a', 'i-0000000b', 'i-0000000c'];
/** Of the answer to `show servers state`. */
const HEADER = '# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight\n';
const PATIENCE = { timeout: 60_000, interval: 50 };

let folder: string;
let ec2: Ec2Endpoint;
let cleanup: AsyncDisposableStack;
/** How often EC2 was asked, by the AWS CLI or by what stands in for it. */
let looks: () => number;
beforeEach(async () => {
  cleanup = new AsyncDisposableStack();
  folder = await mkdtemp(join(tmpdir(), 'runtime-api-'));
  cleanup.defer(() => rm(folder, { recursive: true }));
  await mkdir(join(folder, 'state'));
  ec2 = await startEc2Endpoint();
  cleanup.defer(() => ec2.close());
  const answered = await quickAws();
  looks = () => ec2.calls.length + answered();
});
afterEach(() => cleanup.disposeAsync());

describe.skipIf(skipped)('drain-tagged-servers.sh', { timeout: 120_000 }, () => {
  test('drains the servers of tagged instances in every backend, leaves the others alone, and says each change once', async () => {
    given(A, { remove_from_lb: 'yes' });
    given(B);
    given(C, { remove_from_lb: 'no' });
    const haproxy = await haproxyWith([A, B, C], { backends: ['web', 'api'] });
    const script = drainTagged([haproxy.socket], REAL_AWS);
    await script.passes(2);
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

  test('brings a server back that it drained when the instance runs without the tag', async () => {
    const instance = given(A, { remove_from_lb: 'yes' });
    given(B);
    const haproxy = await haproxyWith([A, B]);
    const script = drainTagged([haproxy.socket]);
    await script.passes(1);
    instance.tags.delete('remove_from_lb');
    await script.passes(2);
    expect(await haproxy.states()).toEqual([`web/${A}=no check`, `web/${B}=no check`]);
    expect(script.lines().at(-1)).toBe(`${haproxy.socket}: web/${A} is set to ready`);
    instance.tags.set('remove_from_lb', 'yes');
    await script.passes(2);
    expect(await haproxy.states()).toEqual([`web/${A}=DRAIN`, `web/${B}=no check`]);
  });

  test.each(['terminated', 'stopped', 'pending'] as const)(
    'does not bring a server back whose instance lost the tag and is %s',
    async (state) => {
      const instance = given(A, { remove_from_lb: 'yes' });
      given(B);
      const haproxy = await haproxyWith([A, B]);
      const script = drainTagged([haproxy.socket]);
      await script.passes(1);
      instance.tags.delete('remove_from_lb');
      instance.state = state;
      await script.passes(2);
      expect(await haproxy.states()).toEqual([`web/${A}=DRAIN`, `web/${B}=no check`]);
      instance.state = 'running';
      await script.passes(2);
      expect(await haproxy.states()).toEqual([`web/${A}=no check`, `web/${B}=no check`]);
    },
  );

  test('does not bring a server back whose instance EC2 has forgotten, or lists without its group', async () => {
    given(A, { remove_from_lb: 'yes' });
    const other = given(C, { remove_from_lb: 'yes' });
    given(B);
    const haproxy = await haproxyWith([A, B, C]);
    const script = drainTagged([haproxy.socket]);
    await script.passes(1);
    ec2.instances.delete(A);
    other.tags.clear();
    await script.passes(2);
    expect(await haproxy.states()).toEqual([`web/${A}=DRAIN`, `web/${B}=no check`, `web/${C}=DRAIN`]);
  });

  test('leaves alone what somebody else drained or put into maintenance, tagged or not', async () => {
    const [a, b] = [given(A, { remove_from_lb: 'yes' }), given(B, { remove_from_lb: 'yes' })];
    given(C);
    given('i-0000000d');
    const haproxy = await haproxyWith([A, B, C, 'i-0000000d']);
    await haproxy.ask(`set server web/${A} state drain`);
    await haproxy.ask(`set server web/${B} state maint`);
    await haproxy.ask(`set server web/${C} state drain`);
    const script = drainTagged([haproxy.socket]);
    const byHand = [`web/${A}=DRAIN`, `web/${B}=MAINT`, `web/${C}=DRAIN`, 'web/i-0000000d=no check'];
    await script.passes(2);
    expect(await haproxy.states()).toEqual(byHand);
    a.tags.delete('remove_from_lb');
    b.tags.delete('remove_from_lb');
    await script.passes(2);
    expect(await haproxy.states()).toEqual(byHand);
    expect(script.lines()).toEqual([]);
  });

  test('drains again after a reload and after a restart of HAProxy, and still knows what to bring back', async () => {
    const instance = given(A, { remove_from_lb: 'yes' });
    given(B);
    const haproxy = await haproxyWith([A, B]);
    const script = drainTagged([haproxy.socket]);
    await script.passes(1);
    await haproxy.reload();
    expect(await haproxy.states()).toEqual([`web/${A}=no check`, `web/${B}=no check`]);
    await script.passes(2);
    expect(await haproxy.states()).toEqual([`web/${A}=DRAIN`, `web/${B}=no check`]);
    await haproxy.stop();
    await script.passes(1);
    const another = await haproxyWith([A, B]);
    await script.passes(2);
    expect(await another.states()).toEqual([`web/${A}=DRAIN`, `web/${B}=no check`]);
    instance.tags.delete('remove_from_lb');
    await script.passes(2);
    expect(await another.states()).toEqual([`web/${A}=no check`, `web/${B}=no check`]);
  });

  test('ends at once on SIGTERM with everything left as it is, and brings back what it drained before', async () => {
    const instance = given(A, { remove_from_lb: 'yes' });
    given(B);
    const haproxy = await haproxyWith([A, B]);
    const first = drainTagged([haproxy.socket], { INTERVAL: '1000' });
    await vi.waitFor(() => expect(first.lines()).toHaveLength(1), PATIENCE);
    first.process.kill('SIGTERM');
    expect(await once(first.process, 'exit')).toEqual([null, 'SIGTERM']);
    expect(await haproxy.states()).toEqual([`web/${A}=DRAIN`, `web/${B}=no check`]);
    instance.tags.delete('remove_from_lb');
    const second = drainTagged([haproxy.socket], { INTERVAL: '1000' });
    const [record = ''] = await readdir(join(folder, 'state'));
    // What it brought back is not its own any more, at once.
    await vi.waitFor(async () => expect(await readFile(join(folder, 'state', record), 'utf8')).toBe(''), PATIENCE);
    expect(await haproxy.states()).toEqual([`web/${A}=no check`, `web/${B}=no check`]);
    await second.stop();
    await haproxy.ask(`set server web/${A} state drain`);
    await drainTagged([haproxy.socket]).passes(2);
    expect(await haproxy.states()).toEqual([`web/${A}=DRAIN`, `web/${B}=no check`]);
  });

  test('knows what it drained even when it is killed before HAProxy has answered', async () => {
    const instance = given(A, { remove_from_lb: 'yes' });
    given(B);
    const arrived = Promise.withResolvers<void>();
    const server = await listen((connection) => {
      connection.once('data', (command) => {
        if (command.toString() === `set server web/${A} state drain\n`) arrived.resolve();
        else connection.end(`1\n${HEADER}3 web 1 ${A} 127.0.0.1 2 0 1\n\n`);
      });
      connection.on('error', () => {});
    });
    const first = drainTagged([server]);
    await arrived.promise;
    await first.stop();
    instance.tags.delete('remove_from_lb');
    await rm(server);
    // As HAProxy would be then.
    const commands: string[] = [];
    await listen((connection) => {
      connection.once('data', (command) => {
        commands.push(command.toString());
        connection.end(/^show/.test(command.toString()) ? `1\n${HEADER}3 web 1 ${A} 127.0.0.1 2 8 1\n\n` : '\n');
      });
    }, server);
    const second = drainTagged([server]);
    await second.passes(1);
    expect(commands).toContain(`set server web/${A} state ready\n`);
  });

  test('gives up what a restart of HAProxy brought back: who drains it then is somebody else', async () => {
    const instance = given(A, { remove_from_lb: 'yes' });
    given(B);
    const before = await haproxyWith([A, B]);
    const first = drainTagged([before.socket]);
    await first.passes(1);
    await first.stop();
    await before.stop();
    instance.tags.delete('remove_from_lb');
    const haproxy = await haproxyWith([A, B]);
    const second = drainTagged([haproxy.socket]);
    await second.passes(1);
    await haproxy.ask(`set server web/${A} state drain`);
    await second.passes(2);
    expect(await haproxy.states()).toEqual([`web/${A}=DRAIN`, `web/${B}=no check`]);
  });

  test('gives up a server that HAProxy no longer has', async () => {
    const instance = given(A, { remove_from_lb: 'yes' });
    given(B);
    const before = await haproxyWith([A, B]);
    const script = drainTagged([before.socket]);
    await script.passes(1);
    await before.stop();
    const without = await haproxyWith([B]);
    await script.passes(2);
    await without.stop();
    const haproxy = await haproxyWith([A, B]);
    await haproxy.ask(`set server web/${A} state drain`);
    instance.tags.delete('remove_from_lb');
    await script.passes(2);
    expect(await haproxy.states()).toEqual([`web/${A}=DRAIN`, `web/${B}=no check`]);
  });

  test('serves each of several sockets; one that is dead is named, and served when it answers again', async () => {
    given(A, { remove_from_lb: 'yes' });
    given(B);
    const one = await haproxyWith([A, B], { name: 'one' });
    const dead = join(folder, 'two.sock');
    const script = drainTagged([dead, one.socket]);
    await script.passes(1);
    expect(await one.states()).toEqual([`web/${A}=DRAIN`, `web/${B}=no check`]);
    expect(script.lines()).toEqual([`${one.socket}: web/${A} is set to drain`]);
    expect(script.errors()).toContain(`${dead}: no answer; its servers stay as they are`);
    const two = await haproxyWith([A, B], { name: 'two' });
    await script.passes(2);
    expect(await two.states()).toEqual([`web/${A}=DRAIN`, `web/${B}=no check`]);
  });

  test('changes nothing while EC2 refuses, says so, and goes on when EC2 is well again', async () => {
    given(A, { remove_from_lb: 'yes' });
    given(B);
    const haproxy = await haproxyWith([A, B]);
    ec2.lastingFault = { status: 403, code: 'UnauthorizedOperation' };
    const script = drainTagged([haproxy.socket], REAL_AWS);
    await script.passes(1);
    expect(await haproxy.states()).toEqual([`web/${A}=no check`, `web/${B}=no check`]);
    expect(script.errors()).toContain('UnauthorizedOperation');
    expect(script.errors()).toContain('EC2 gave no whole answer; nothing is changed');
    ec2.lastingFault = undefined;
    await script.passes(1);
    expect(await haproxy.states()).toEqual([`web/${A}=DRAIN`, `web/${B}=no check`]);
  });

  test('waits seconds, not minutes, for an answer of EC2 that does not come', async () => {
    given(A, { remove_from_lb: 'yes' });
    given(B);
    const haproxy = await haproxyWith([A, B]);
    ec2.faults.push('hang');
    await drainTagged([haproxy.socket], REAL_AWS).passes(2);
    expect(await haproxy.states()).toEqual([`web/${A}=DRAIN`, `web/${B}=no check`]);
  });

  test('sends no command to HAProxy when the AWS CLI prints a part and then fails', async () => {
    const connections: Socket[] = [];
    const socket = await listen((connection) => connections.push(connection));
    const path = await pathWithAws(folder, `${A}\\trunning\\ttagged\\n${B}\\trunning\\tuntagged\\n`, 255);
    const script = drainTagged([socket], { PATH: path });
    await vi.waitFor(() => expect(script.errors().match(/nothing is changed/g)?.length).toBeGreaterThan(2), PATIENCE);
    expect(connections).toEqual([]);
  });

  test('changes nothing when no instance would be left to serve, such as in a group whose name is wrong', async () => {
    given(A, { remove_from_lb: 'yes' });
    given(B, {}, 'terminated');
    given(C, { 'aws:autoscaling:groupName': 'another' });
    const haproxy = await haproxyWith([A, B, C]);
    const script = drainTagged([haproxy.socket]);
    await script.passes(2);
    expect(await haproxy.states()).toEqual([`web/${A}=no check`, `web/${B}=no check`, `web/${C}=no check`]);
    expect(script.errors()).toContain('no instance of web would be left to serve; nothing is changed');
  });

  test.each([
    ['breaks off', `1\n${HEADER}3 web 2 ${B} 127.0.0.1 2 0 1\n`, 'no answer'],
    [
      'has another format',
      `2\n${HEADER}3 web 2 ${B} 127.0.0.1 2 0 1\n\n`,
      "'show servers state' gives something unknown",
    ],
    ['has other columns', '1\n# srv_name srv_admin_state\n\n', "'show servers state' gives something unknown"],
    ['is a refusal', 'Permission denied\n\n', "'show servers state' gives something unknown"],
  ])('changes nothing when the answer of HAProxy %s', async (_, answer, complaint) => {
    given(A, { remove_from_lb: 'yes' });
    const b = given(B, { remove_from_lb: 'yes' });
    given(C);
    const before = await haproxyWith([A, B, C]);
    const script = drainTagged([before.socket]);
    await script.passes(1);
    await before.stop();
    const commands: string[] = [];
    const server = await listen((connection) => {
      connection.once('data', (command) => {
        commands.push(command.toString());
        connection.end(answer);
      });
    }, before.socket);
    b.tags.delete('remove_from_lb');
    await script.passes(2);
    expect(script.errors()).toContain(`${server}: ${complaint}`);
    expect(new Set(commands)).toEqual(new Set(['show servers state\n']));
  });

  test('says what HAProxy answers to a change that it refuses, and tries again', async () => {
    given(A, { remove_from_lb: 'yes' });
    given(B);
    const socket = await listen((connection) => {
      connection.once('data', (command) => {
        const state = command.toString() === 'show servers state\n';
        connection.end(state ? `1\n${HEADER}3 web 2 ${A} 127.0.0.1 2 0 1\n\n` : 'Permission denied\n\n');
      });
    });
    const script = drainTagged([socket]);
    await script.passes(2);
    expect(script.errors().match(/web\/i-0000000a could not be set to drain: Permission denied/g)).toHaveLength(2);
    expect(script.lines()).toEqual([]);
  });

  test('takes the tag that the function was set to', async () => {
    given(A, { drain: 'now' });
    given(B, { remove_from_lb: 'yes' });
    const haproxy = await haproxyWith([A, B]);
    const script = drainTagged([haproxy.socket], { ...REAL_AWS, TAG_KEY: 'drain', TAG_VALUE: 'now' });
    await script.passes(1);
    expect(await haproxy.states()).toEqual([`web/${A}=DRAIN`, `web/${B}=no check`]);
  });

  test('sees every page of a large group', async () => {
    for (let n = 0; n < 1000; n += 1) given(`i-1${n.toString().padStart(7, '0')}`);
    given(A, { remove_from_lb: 'yes' });
    const haproxy = await haproxyWith([A, B]);
    const script = drainTagged([haproxy.socket], REAL_AWS);
    await vi.waitFor(() => expect(script.lines()).toHaveLength(1), PATIENCE);
    expect(await haproxy.states()).toEqual([`web/${A}=DRAIN`, `web/${B}=no check`]);
    expect(ec2.calls[0]?.parameters.get('MaxResults')).toBe('1000');
  });

  test.each([
    ['AUTO-SCALING-GROUP SOCKET...', ['web'], {}],
    ["INTERVAL is '2s'; expected seconds", ['web', '/s'], { INTERVAL: '2s' }],
    ["INTERVAL is '0.0'; expected seconds, more than 0", ['web', '/s'], { INTERVAL: '0.0' }],
    ["INTERVAL is '1.2.3'; expected seconds", ['web', '/s'], { INTERVAL: '1.2.3' }],
    ["STATE_DIRECTORY is '/nowhere'; expected a folder", ['web', '/s'], { STATE_DIRECTORY: '/nowhere' }],
  ])('refuses to start, with a status of its own: %s', (message, args, settings) => {
    const env = awsCli(ec2.url, { STATE_DIRECTORY: folder, ...settings });
    const { status, stderr } = spawnSync(SCRIPT, args, { env, encoding: 'utf8' });
    expect({ status, stderr }).toEqual({ status: 2, stderr: expect.stringContaining(message) });
  });

  test('refuses to start without a program that it needs', () => {
    const { status, stderr } = spawnSync('/bin/sh', [SCRIPT, 'web', '/s'], {
      env: { PATH: folder, STATE_DIRECTORY: folder },
      encoding: 'utf8',
    });
    expect({ status, stderr }).toEqual({ status: 2, stderr: 'drain-tagged-servers.sh: aws is not installed\n' });
  });
});

function given(id: string, tags: Record<string, string> = {}, state: Instance['state'] = 'running'): Instance {
  const instance: Instance = { tags: new Map(Object.entries({ 'aws:autoscaling:groupName': 'web', ...tags })), state };
  ec2.instances.set(id, instance);
  return instance;
}

/** The AWS CLI takes a second for each call. What does not depend on it is tested with what it would print. */
const REAL_AWS = { PATH: process.env.PATH ?? '' };

/** Puts an `aws` into the folder that prints what the AWS CLI would; returns what counts its calls. */
async function quickAws(): Promise<() => number> {
  let calls = 0;
  const socket = await listen(
    (connection) => {
      calls += 1;
      const lines = [...ec2.instances]
        .filter(([, { tags }]) => tags.get('aws:autoscaling:groupName') === 'web')
        .map(([id, { state, tags }]) => `${id}\t${state}\t${tags.get('remove_from_lb') === 'yes' ? '' : 'un'}tagged\n`);
      connection.end(lines.join(''));
    },
    join(folder, 'aws.sock'),
  );
  const file = join(folder, 'bin', 'aws');
  await mkdir(join(folder, 'bin'));
  await writeFile(file, `#!/bin/sh\nexec socat -t5 - UNIX-CONNECT:${socket} </dev/null\n`);
  await chmod(file, 0o755);
  return () => calls;
}

async function haproxyWith(
  servers: string[],
  options: { name?: string; backends?: string[] } = {},
): Promise<SocketHaproxy> {
  const haproxy = await startHaproxy(folder, { servers, ...options });
  cleanup.defer(() => haproxy.stop());
  return haproxy;
}

/** Something in the place of HAProxy. */
async function listen(onConnection: (connection: Socket) => void, path = join(folder, 'fake.sock')): Promise<string> {
  const server: Server = createServer(onConnection);
  await new Promise<void>((resolve) => server.listen(path, resolve));
  cleanup.defer(() => new Promise<void>((resolve) => server.close(() => resolve())));
  return path;
}

interface RunningScript {
  readonly process: ChildProcess;
  /** What it says it changed. */
  lines(): string[];
  errors(): string;
  /** Waits until it has looked so many times from now on. */
  passes(count: number): Promise<void>;
  stop(): Promise<void>;
}

function drainTagged(sockets: string[], settings: Record<string, string> = {}): RunningScript {
  const PATH = `${join(folder, 'bin')}:${process.env.PATH}`;
  const env = awsCli(ec2.url, { PATH, STATE_DIRECTORY: join(folder, 'state'), INTERVAL: '0.1', ...settings });
  // A group of its own, so that the command that it waits for ends with it.
  const child = spawn(SCRIPT, ['web', ...sockets], { env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
  const exited = once(child, 'exit');
  let [stdout, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const stop = async () => {
    if (child.pid !== undefined && child.exitCode === null && child.signalCode === null) {
      process.kill(-child.pid, 'SIGKILL');
      await exited;
    }
  };
  cleanup.defer(stop);
  return {
    process: child,
    lines: () => stdout.split('\n').slice(0, -1),
    errors: () => stderr,
    async passes(count) {
      // One may be under way already, with an answer from before; a look is over when the next one asks.
      const wanted = looks() + count + (looks() === 0 ? 1 : 2);
      await vi.waitFor(() => {
        if (child.exitCode !== null) throw new Error(`it ended: ${stderr}`);
        if (looks() < wanted) throw new Error(`it has asked EC2 ${looks()} times: ${stderr}`);
      }, PATIENCE);
    },
    stop,
  };
}
