import { once } from 'node:events';
import { chmod, chown, mkdir, readdir, readFile, rm, stat } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, vi } from 'vitest';
import { DEFAULT_TAG } from '../../src/settings.ts';
import { skippedWithout } from '../../test/helpers/programs.ts';
import { instance, TAGGED } from '../fixtures.ts';
import { A, AWS, B, C, SCRIPT, type ServerState, STATE_HEADER, stateRow, test } from './fixtures.ts';

const skipped = skippedWithout({ haproxy: '-v', socat: '-V', aws: '--version' }, SCRIPT);

const limitsSkipped = skippedWithout({ setpriv: '--version' }, `${SCRIPT} under the limits of its unit`);
/** The user "nobody". */
const OTHER_USER = 65534;

const A_DRAINED = [`web/${A}=DRAIN`, `web/${B}=no check`];
const BOTH_READY = [`web/${A}=no check`, `web/${B}=no check`];
const [READY, DRAINED] = [0, 8];
/** The answer to `show servers state` for A and another server. Nothing listens at port 1. */
const stateOfA = (admin: number, hasCheck = true) => {
  return stateOf({ name: A, address: '127.0.0.1', port: 1, admin, hasCheck }, { name: 'other' });
};
const stateOf = (...servers: ServerState[]) =>
  `${STATE_HEADER}${servers.map((server) => stateRow('web', server)).join('')}\n`;
const PATIENCE = { timeout: 60_000, interval: 50 };

describe.skipIf(skipped).concurrent('drain-tagged-servers.sh', () => {
  test('drains tagged instances only, in every backend', async ({ ec2, haproxyWith, drainTagged }) => {
    ec2.instances.set(B, instance({ name: DEFAULT_TAG.value })).set(C, instance({ [DEFAULT_TAG.key]: 'no' }));
    const haproxy = await haproxyWith([A, B, C], { backends: ['web', 'api'] });
    const script = await drainTagged([haproxy.statsSocket], { aws: AWS.real });
    await script.look();
    await script.look();
    expect(await haproxy.states()).toEqual([
      ...[`web/${A}=DRAIN`, `web/${B}=no check`, `web/${C}=no check`],
      ...[`api/${A}=DRAIN`, `api/${B}=no check`, `api/${C}=no check`],
    ]);
    // One line for each change, although the script looked twice.
    expect(script.lines()).toEqual(
      ['web', 'api'].map((name) => `${haproxy.statsSocket}: ${name}/${A} is set to drain`),
    );
  });

  test('brings a server back when its instance runs without the tag', async ({ instanceA, haproxy, script }) => {
    instanceA.tags.delete(DEFAULT_TAG.key);
    await script.look();
    expect(await haproxy.states()).toEqual(A_DRAINED);
    await script.look();
    expect(await haproxy.states()).toEqual(BOTH_READY);
    instanceA.tags.set(DEFAULT_TAG.key, DEFAULT_TAG.value);
    await script.look();
    expect(await haproxy.states()).toEqual(A_DRAINED);
    const changes = ['drain', 'ready', 'drain'];
    expect(script.lines()).toEqual(changes.map((state) => `${haproxy.statsSocket}: web/${A} is set to ${state}`));
  });

  test('brings a server back only when EC2 knows its instance, and it runs', async ({ ec2, haproxy, script }) => {
    ec2.instances.delete(A);
    await script.look();
    expect(await haproxy.states()).toEqual(A_DRAINED);
    for (const state of ['terminated', 'stopped', 'pending'] as const) {
      ec2.instances.set(A, instance({}, { state }));
      await script.look();
      expect(await haproxy.states()).toEqual(A_DRAINED);
    }
    ec2.instances.set(A, instance());
    await script.look();
    await script.look();
    expect(await haproxy.states()).toEqual(BOTH_READY);
  });

  test('leaves servers alone that somebody else changed', async ({ ec2, haproxyWith, drainTagged }) => {
    ec2.instances.set(B, instance(TAGGED)).set(C, instance());
    const haproxy = await haproxyWith([A, B, C]);
    await haproxy.ask(`set server web/${A} state drain`);
    await haproxy.ask(`set server web/${B} state maint`);
    await haproxy.ask(`set server web/${C} state drain`);
    const script = await drainTagged([haproxy.statsSocket]);
    const byHand = [`web/${A}=DRAIN`, `web/${B}=MAINT`, `web/${C}=DRAIN`];
    await script.look();
    expect(await haproxy.states()).toEqual(byHand);
    ec2.instances.set(A, instance()).set(B, instance());
    await script.look();
    await script.look();
    expect(await haproxy.states()).toEqual(byHand);
    expect(script.lines()).toEqual([]);
  });

  test('forgets a server that it has brought back', async ({ instanceA, haproxy, script }) => {
    instanceA.tags.delete(DEFAULT_TAG.key);
    await script.look();
    await script.look();
    await haproxy.ask(`set server web/${A} state drain`);
    await script.look();
    expect(await haproxy.states()).toEqual(A_DRAINED);
  });

  test('forgets a server whose drain a restart has undone', async ({ instanceA, haproxy, script, haproxyWith }) => {
    await haproxy.stop();
    instanceA.tags.delete(DEFAULT_TAG.key);
    const restarted = await haproxyWith([A, B]);
    await script.look();
    await restarted.ask(`set server web/${A} state drain`);
    await script.look();
    await script.look();
    expect(await restarted.states()).toEqual(A_DRAINED);
    expect(script.lines()).toEqual([`${haproxy.statsSocket}: web/${A} is set to drain`]);
  });

  test('forgets a server that HAProxy no longer has', async ({ instanceA, haproxy, script, haproxyWith }) => {
    await haproxy.stop();
    const without = await haproxyWith([B]);
    await script.look();
    await without.stop();
    const again = await haproxyWith([A, B]);
    await again.ask(`set server web/${A} state drain`);
    instanceA.tags.delete(DEFAULT_TAG.key);
    await script.look();
    await script.look();
    expect(await again.states()).toEqual(A_DRAINED);
  });

  test('drains again after a reload', async ({ haproxy, script }) => {
    await haproxy.reload();
    expect(await haproxy.states()).toEqual(BOTH_READY);
    await script.look();
    expect(await haproxy.states()).toEqual(A_DRAINED);
  });

  test('ends at once on SIGTERM and changes nothing', async ({ haproxy, drainTagged }) => {
    const script = await drainTagged([haproxy.statsSocket], { settings: { INTERVAL: '1000' } });
    await script.answer();
    await vi.waitFor(() => expect(script.lines()).toHaveLength(1), PATIENCE);
    script.process.kill('SIGTERM');
    expect(await once(script.process, 'exit')).toEqual([null, 'SIGTERM']);
    expect(await haproxy.states()).toEqual(A_DRAINED);
  });

  test('brings back what it drained although it was killed', async ({ instanceA, fakeHaproxy, drainTagged }) => {
    const before = await fakeHaproxy((command) => (command.startsWith('show') ? stateOfA(READY) : undefined));
    const first = await drainTagged([before.statsSocket]);
    await first.answer();
    const drain = `set server web/${A} state drain\n`;
    await vi.waitFor(() => expect(before.commands).toContain(drain), PATIENCE);
    // HAProxy has received the command, but the script has no answer yet.
    await first.stop();
    instanceA.tags.delete(DEFAULT_TAG.key);
    await rm(before.statsSocket);
    const after = await fakeHaproxy((command) => (command.startsWith('show') ? stateOfA(DRAINED) : '\n'));
    const second = await drainTagged([after.statsSocket]);
    await second.look();
    await second.look();
    expect(after.commands).toEqual([
      'show servers state\n',
      'show servers state\n',
      `set server web/${A} state ready\n`,
    ]);
  });

  test('names a socket without an answer, and serves the others', async ({ ec2, haproxyWith, drainTagged }) => {
    ec2.instances.set(C, instance(TAGGED));
    const one = await haproxyWith([A, B], { name: 'one' });
    const dead = await haproxyWith([B, C], { name: 'two' });
    await dead.stop();
    const script = await drainTagged([one.statsSocket, dead.statsSocket]);
    await script.look();
    expect(await one.states()).toEqual(A_DRAINED);
    expect(script.lines()).toEqual([`${one.statsSocket}: web/${A} is set to drain`]);
    expect(script.errors()).toContain(`${dead.statsSocket}: no answer; its servers stay as they are`);
    const two = await haproxyWith([B, C], { name: 'two' });
    await script.look();
    expect(await two.states()).toEqual([`web/${B}=no check`, `web/${C}=DRAIN`]);
    // The two HAProxies have different servers, so each has its own record.
    ec2.instances.set(A, instance());
    await script.look();
    await script.look();
    expect(await one.states()).toEqual(BOTH_READY);
  });

  // Without the script's option, the AWS CLI waits 60 s.
  test('waits seconds for EC2, not minutes', { timeout: 50_000 }, async ({ ec2, haproxy, drainTagged }) => {
    ec2.faults.push('hang');
    const script = await drainTagged([haproxy.statsSocket], { aws: AWS.real });
    await script.look();
    await script.look();
    expect(await haproxy.states()).toEqual(A_DRAINED);
  });

  test('sends nothing when the AWS CLI prints a part and then fails', async ({ fakeHaproxy, drainTagged }) => {
    const { statsSocket, commands } = await fakeHaproxy(() => undefined);
    const script = await drainTagged([statsSocket], { aws: AWS.fails });
    await script.look();
    expect(script.errors()).toBe('drain-tagged-servers.sh: EC2 did not answer completely; nothing is changed\n');
    expect(commands).toEqual([]);
  });

  test('keeps the last usable server of a backend', async ({ ec2, haproxyWith, drainTagged }) => {
    ec2.instances.set(B, instance(TAGGED));
    const haproxy = await haproxyWith([A, B, C]);
    await haproxy.ask(`set server web/${C} state maint`);
    const script = await drainTagged([haproxy.statsSocket]);
    await script.look();
    await script.look();
    expect(await haproxy.states()).toEqual([`web/${A}=DRAIN`, `web/${B}=no check`, `web/${C}=MAINT`]);
    const kept = `${haproxy.statsSocket}: web/${B} is not drained, because web has no other server that is up`;
    expect(script.errors()).toBe(`drain-tagged-servers.sh: ${kept}\n`);
    await haproxy.ask(`set server web/${C} state ready`);
    await script.look();
    expect(await haproxy.states()).toEqual([`web/${A}=DRAIN`, `web/${B}=DRAIN`, `web/${C}=no check`]);
  });

  // The limits of the unit, as far as they go without systemd: another user, without rights and without a home.
  test.skipIf(limitsSkipped)('drains under the limits of its unit', async ({ folder, haproxy, drainTagged }) => {
    const isRoot = process.getuid?.() === 0;
    const state = join(folder, 'own state');
    await mkdir(state, { mode: 0o700 });
    const home = join(folder, 'home');
    await mkdir(home, { mode: 0o555 });
    if (isRoot) {
      await chmod(folder, 0o711);
      await chmod(join(folder, 'haproxy'), 0o711);
      for (const path of [state, haproxy.statsSocket]) await chown(path, OTHER_USER, OTHER_USER);
    }
    const asOtherUser = [`--reuid=${OTHER_USER}`, `--regid=${OTHER_USER}`, '--clear-groups', '--bounding-set=-all'];
    const script = await drainTagged([haproxy.statsSocket], {
      starter: ['setpriv', '--no-new-privs', ...(isRoot ? asOtherUser : [])],
      settings: { HOME: home, STATE_DIRECTORY: state },
    });
    await script.look();
    expect(await haproxy.states()).toEqual(A_DRAINED);
    expect(script.errors()).toBe('');
    const [record = ''] = await readdir(state);
    expect(await readFile(join(state, record), 'utf8')).toBe(`web/${A}\n`);
    expect((await stat(join(state, record))).mode & 0o777).toBe(0o600);
  });

  test('ends the wait of an instance without sessions', async ({ instanceA, ec2, haproxyWith, drainTagged }) => {
    const one = await haproxyWith([A, B], { name: 'one' });
    const two = await haproxyWith([A, B], { name: 'two', backends: ['web', 'api'] });
    instanceA.lifecycleState = 'Terminating:Wait';
    const settings = { COMPLETE_HOOK: 'remove-from-lb' };
    const script = await drainTagged([one.statsSocket, two.statsSocket], { aws: AWS.real, settings });
    for (let n = 0; n < 2; n += 1) await script.look();
    expect(instanceA.lifecycleState).toBe('Terminating:Wait');
    await script.look();
    expect(instanceA.lifecycleState).toBe('Terminating:Proceed');
    await script.look();
    const call = ec2.calls.filter(({ action }) => action === 'CompleteLifecycleAction');
    expect(call.map(({ parameters }) => Object.fromEntries(parameters))).toMatchObject([
      {
        AutoScalingGroupName: 'web',
        InstanceId: A,
        LifecycleActionResult: 'CONTINUE',
        LifecycleHookName: 'remove-from-lb',
      },
    ]);
    expect(script.errors()).toBe('');
  });

  test('serves the other HAProxies while one is stopped', async ({ ec2, haproxyWith, drainTagged, cleanup }) => {
    ec2.instances.set(A, instance());
    const stopped = await haproxyWith([A, B], { name: 'one' });
    const haproxy = await haproxyWith([A, B], { name: 'two' });
    const worker = Number(/^Pid: (\d+)$/m.exec(await stopped.ask('show info'))?.[1]);
    process.kill(worker, 'SIGSTOP');
    cleanup.defer(() => void process.kill(worker, 'SIGCONT'));
    // A connection waits forever when the queue is full.
    const connections = await fillQueue(stopped.statsSocket);
    cleanup.defer(() => connections.forEach((connection) => void connection.destroy()));
    const script = await drainTagged([stopped.statsSocket, haproxy.statsSocket]);
    await script.look();
    ec2.instances.set(A, instance(TAGGED));
    await script.look();
    expect(await haproxy.states()).toEqual(A_DRAINED);
    const complaint = `drain-tagged-servers.sh: ${stopped.statsSocket}: no answer; its servers stay as they are\n`;
    expect(script.errors()).toContain(complaint);
    expect(script.errors().split(complaint)).toHaveLength(2);
    for (const connection of connections) connection.destroy();
    process.kill(worker, 'SIGCONT');
    await script.look();
    expect(await stopped.states()).toEqual(A_DRAINED);
  });

  test('asks a stopped HAProxy once in a look', async ({ ec2, fakeHaproxy, drainTagged }) => {
    ec2.instances.set(B, instance(TAGGED));
    const { statsSocket, commands } = await fakeHaproxy((command) => {
      return command.startsWith('show') ? stateOf({ name: A }, { name: B }, { name: C }) : undefined;
    });
    const script = await drainTagged([statsSocket]);
    await script.look();
    expect(commands).toEqual(['show servers state\n', `set server web/${A} state drain\n`]);
    expect(script.errors()).toBe(
      `drain-tagged-servers.sh: ${statsSocket}: web/${A} could not be set to drain: no answer\n`,
    );
  });

  test('waits for an HAProxy that needs a second', async ({ fakeHaproxy, drainTagged }) => {
    const { statsSocket, commands } = await fakeHaproxy(async (command) => {
      await sleep(1000);
      return command.startsWith('show') ? stateOfA(READY) : '\n';
    });
    const script = await drainTagged([statsSocket]);
    await script.look();
    expect(script.lines()).toEqual([`${statsSocket}: web/${A} is set to drain`]);
    expect(commands).toHaveLength(2);
  });

  test('does not bring back a server that takes no connection', async ({ instanceA, fakeHaproxy, drainTagged }) => {
    let state = READY;
    const { statsSocket, commands } = await fakeHaproxy((command) => {
      if (command.startsWith('show')) return stateOfA(state, false);
      state = command.includes('drain') ? DRAINED : READY;
      return '\n';
    });
    const script = await drainTagged([statsSocket]);
    await script.look();
    instanceA.tags.delete(DEFAULT_TAG.key);
    for (let n = 0; n < 3; n += 1) await script.look();
    expect(commands.filter((command) => command.startsWith('set'))).toEqual([`set server web/${A} state drain\n`]);
    expect(script.errors()).toBe(
      `drain-tagged-servers.sh: ${statsSocket}: web/${A} stays drained, because it takes no connection at 127.0.0.1 1\n`,
    );
  });

  const UNKNOWN = "the answer to 'show servers state' is unknown";
  test.for([
    ['breaks off', stateOfA(READY).slice(0, -1), 'no answer'],
    ['has another format', stateOfA(READY).replace('1', '2'), UNKNOWN],
    ['has other columns', stateOfA(READY).replace('srv_op_state ', ''), UNKNOWN],
    ['is a refusal', 'Permission denied\n\n', UNKNOWN],
  ] as const)(
    'changes nothing when the answer of HAProxy %s',
    async ([, answer, complaint], { folder, fakeHaproxy, drainTagged }) => {
      const { statsSocket, commands } = await fakeHaproxy(() => answer);
      const script = await drainTagged([statsSocket]);
      await script.look();
      expect(script.errors()).toContain(`${statsSocket}: ${complaint}`);
      expect(commands).toEqual(['show servers state\n']);
      expect(await readdir(join(folder, 'state'))).toEqual([]);
    },
  );

  test('prints why HAProxy refuses a change, and tries again', async ({ fakeHaproxy, drainTagged }) => {
    const { statsSocket, commands } = await fakeHaproxy((command) => {
      return command.startsWith('show') ? stateOfA(READY) : 'Permission denied\n\n';
    });
    const script = await drainTagged([statsSocket]);
    await script.look();
    await script.look();
    expect(commands.filter((command) => command.startsWith('set'))).toHaveLength(2);
    expect(script.errors()).toBe(
      `drain-tagged-servers.sh: ${statsSocket}: web/${A} could not be set to drain: Permission denied\n`,
    );
    expect(script.lines()).toEqual([]);
  });

  test('takes the tag from TAG_KEY and TAG_VALUE', async ({ ec2, haproxy, drainTagged }) => {
    ec2.instances.set(A, instance({ drain: 'now' })).set(B, instance(TAGGED));
    const settings = { TAG_KEY: 'drain', TAG_VALUE: 'now' };
    const script = await drainTagged([haproxy.statsSocket], { aws: AWS.real, settings });
    await script.look();
    expect(await haproxy.states()).toEqual(A_DRAINED);
  });

  test('reads every page of a large group', async ({ ec2, haproxy, drainTagged }) => {
    const others = Array.from({ length: 999 }, (_, n) => `i-1${n.toString().padStart(7, '0')}`);
    ec2.instances.clear();
    for (const id of [...others, B]) ec2.instances.set(id, instance());
    ec2.instances.set(A, instance(TAGGED));
    const script = await drainTagged([haproxy.statsSocket], { aws: AWS.real });
    await script.look();
    expect(await haproxy.states()).toEqual(A_DRAINED);
    expect(ec2.calls.map(({ parameters }) => parameters.get('MaxResults'))).toEqual(['1000', '1000']);
  });
});

/** Opens connections to a socket that accepts none, until the system refuses one. */
async function fillQueue(path: string): Promise<Socket[]> {
  const connections: Socket[] = [];
  let isFull = false;
  while (!isFull) {
    const connection = connect(path);
    connections.push(connection);
    isFull = await new Promise((resolve) => {
      connection.once('connect', () => resolve(false)).on('error', () => resolve(true));
    });
  }
  return connections;
}
