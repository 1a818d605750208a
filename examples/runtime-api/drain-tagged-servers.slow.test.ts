import { once } from 'node:events';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, vi } from 'vitest';
import { DEFAULT_TAG } from '../../src/settings.ts';
import { skippedWithout } from '../../test/helpers/programs.ts';
import { instance, TAGGED } from '../fixtures.ts';
import { A, AWS, B, C, SCRIPT, test } from './fixtures.ts';

const skipped = skippedWithout({ haproxy: '-v', socat: '-V', aws: '--version' }, SCRIPT);

const A_DRAINED = [`web/${A}=DRAIN`, `web/${B}=no check`];
const BOTH_READY = [`web/${A}=no check`, `web/${B}=no check`];
/** The columns in the answer to `show servers state`. */
const HEADER = '# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight\n';
const [READY, DRAINED] = [0, 8];
const stateOfA = (adminState: number) => `1\n${HEADER}3 web 1 ${A} 127.0.0.1 2 ${adminState} 1\n\n`;
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
    expect(await haproxy.states()).toEqual(byHand);
    expect(script.lines()).toEqual([]);
  });

  test('forgets a server that it has brought back', async ({ instanceA, haproxy, script }) => {
    instanceA.tags.delete(DEFAULT_TAG.key);
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
    expect(after.commands).toEqual(['show servers state\n', `set server web/${A} state ready\n`]);
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

  test('changes nothing when no instance would be left to serve', async ({ ec2, haproxy, drainTagged }) => {
    ec2.instances
      .set(B, instance({}, { state: 'terminated' }))
      .set(C, instance({ 'aws:autoscaling:groupName': 'another' }));
    const script = await drainTagged([haproxy.statsSocket]);
    await script.look();
    expect(await haproxy.states()).toEqual(BOTH_READY);
    expect(script.errors()).toContain('no instance of web would be left to serve; nothing is changed');
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
    const { statsSocket } = await fakeHaproxy((command) => {
      return command.startsWith('show') ? stateOfA(READY) : 'Permission denied\n\n';
    });
    const script = await drainTagged([statsSocket]);
    const complaint = `drain-tagged-servers.sh: ${statsSocket}: web/${A} could not be set to drain: Permission denied\n`;
    await script.look();
    await script.look();
    expect(script.errors()).toBe(complaint + complaint);
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
