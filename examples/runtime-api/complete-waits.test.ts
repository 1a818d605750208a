import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect } from 'vitest';
import { test as base, line, named } from './fake-programs.ts';

const [A, B, C] = ['i-0000000a', 'i-0000000b', 'i-0000000c'];
const SOCKETS = ['one.sock', 'two.sock'];
const LIST = [line(A, 'tagged'), line(B)];
const COMPLETED = `${A}: the wait has ended, because no HAProxy has a session with this instance`;

const test = base
  /** Makes Auto Scaling answer with these commands of a shell script. By default, A waits in the group "my web". */
  .extend('autoScaling', ({ folder }) => async (more: { describe?: string; complete?: string } = {}) => {
    const { describe: describeCommand = `printf '${A}\\tmy web\\n'`, complete = '' } = more;
    await writeFile(join(folder, 'describe-auto-scaling-instances'), `${describeCommand}\n`);
    await writeFile(join(folder, 'complete-lifecycle-action'), `${complete}\n`);
  })
  /** The calls of Auto Scaling. */
  .extend(
    'calls',
    ({ read }) =>
      () =>
        read('autoscaling'),
  )
  .extend(
    'completions',
    ({ calls }) =>
      () =>
        calls().filter((call) => call.includes(' complete-lifecycle-action ')),
  )
  /** Sets the sessions and queued requests of A at this HAProxy. */
  .extend('sessions', ({ folder }) => async (backend: string, current: number, queued = 0, socket = 'one.sock') => {
    await writeFile(join(folder, `${socket}.sessions`), `${backend}/${A} ${queued} ${current}\n`);
  })
  /** A running script that has drained A at two HAProxies. */
  .extend('script', async ({ haproxy, autoScaling, drainTagged }) => {
    for (const socket of SOCKETS) await haproxy({ web: named(A, B), api: named(A, B) }, socket);
    await autoScaling();
    const script = await drainTagged({ sockets: SOCKETS, settings: { COMPLETE_HOOK: 'remove-from-lb' } });
    await script.look(...LIST);
    return script;
  });

describe.concurrent('the wait for a lifecycle hook', () => {
  test('ends after two looks without a session, once', async ({ script, calls }) => {
    await script.look(...LIST);
    expect(calls()).toEqual([]);
    for (let n = 0; n < 3; n += 1) await script.look(...LIST);
    expect(calls()).toEqual([
      expect.stringMatching(
        `^autoscaling describe-auto-scaling-instances .*--instance-ids ${A} --query .*Terminating:Wait`,
      ),
      `autoscaling complete-lifecycle-action --instance-id ${A} --auto-scaling-group-name=my web --lifecycle-hook-name=remove-from-lb --lifecycle-action-result CONTINUE`,
    ]);
    expect(script.lines().filter((text) => !text.includes('is set to'))).toEqual([COMPLETED]);
    expect(script.errors()).toEqual([]);
    // The same instance comes back to the group from the warm pool, and leaves the group again.
    for (let n = 0; n < 2; n += 1) await script.look(line(A), line(B));
    for (let n = 0; n < 3; n += 1) await script.look(...LIST);
    expect(script.lines().filter((text) => text === COMPLETED)).toHaveLength(2);
  });

  test.for([
    ['a session', 'web', 1, 0, 'one.sock'],
    ['a queued request', 'web', 0, 1, 'one.sock'],
    ['a session in another backend', 'api', 1, 0, 'one.sock'],
    ['a session at the other HAProxy', 'api', 1, 0, 'two.sock'],
  ] as const)(
    'goes on while there is %s',
    async ([, backend, current, queued, socket], { script, sessions, calls }) => {
      await script.look(...LIST);
      // The first look had no session. The two looks have to be in a row.
      await sessions(backend, current, queued, socket);
      await script.look(...LIST);
      await script.look(...LIST);
      await sessions(backend, 0, 0, socket);
      await script.look(...LIST);
      expect(calls()).toEqual([]);
      await script.look(...LIST);
      expect(calls()).toHaveLength(2);
    },
  );

  test('goes on while one HAProxy is silent', async ({ script, haproxy, remove, calls }) => {
    await script.look(...LIST);
    await remove('two.sock');
    await script.look(...LIST);
    await haproxy({ other: named('other') }, 'two.sock');
    await script.look(...LIST);
    expect(calls()).toEqual([]);
    // The second HAProxy has no server for the instance.
    await script.look(...LIST);
    expect(calls()).toHaveLength(2);
  });

  test('goes on while one HAProxy does not tell its sessions', async ({ folder, script, remove, calls }) => {
    await writeFile(join(folder, 'two.sock.without-statistics'), '');
    for (let n = 0; n < 3; n += 1) await script.look(...LIST);
    expect(calls()).toEqual([]);
    expect(script.errors()).toEqual(['two.sock: the sessions are not known: no answer']);
    await remove('two.sock.without-statistics');
    for (let n = 0; n < 2; n += 1) await script.look(...LIST);
    expect(calls()).toHaveLength(2);
  });

  test('goes on while somebody has put the drained server into maintenance', async ({ script, haproxy, calls }) => {
    await haproxy({ web: [{ name: A, admin: 9 }, ...named(B)] });
    for (let n = 0; n < 3; n += 1) await script.look(...LIST);
    expect(calls()).toEqual([]);
  });

  test('goes on when EC2 fails between two looks', async ({ script, calls }) => {
    await script.look(...LIST);
    await script.answer('exit 1');
    await script.look(...LIST);
    expect(calls()).toEqual([]);
  });

  test.for([
    ['somebody else drained', [{ name: A, admin: 8 }]],
    ['somebody else put into maintenance', [{ name: A, admin: 1 }]],
    ['the script cannot drain', [{ name: A }]],
  ] as const)('goes on for an instance with a server that %s', async ([, servers], { script, haproxy, calls }) => {
    await haproxy({ web: [{ name: A, admin: 8 }, ...named(B)], third: servers });
    for (let n = 0; n < 4; n += 1) await script.look(...LIST);
    expect(calls()).toEqual([]);
  });

  test('goes on when no HAProxy has the instance, or when EC2 no longer runs it', async ({
    script,
    haproxy,
    calls,
  }) => {
    for (let n = 0; n < 3; n += 1) await script.look(line(A, 'tagged', { state: 'shutting-down' }), line(B));
    for (const socket of SOCKETS) await haproxy({ web: named(B, C) }, socket);
    for (let n = 0; n < 3; n += 1) await script.look(...LIST);
    expect(calls()).toEqual([]);
  });

  test('goes on when the instance does not wait', async ({ script, autoScaling, completions }) => {
    await autoScaling({ describe: '' });
    for (let n = 0; n < 4; n += 1) await script.look(...LIST);
    expect(completions()).toEqual([]);
    expect(script.errors()).toEqual([]);
  });

  test.for([
    ['describe', 'no wait can be ended: '],
    ['complete', 'a wait cannot be ended: '],
  ] as const)(
    'goes on after an error of %s, which is printed once',
    async ([call, complaint], { script, autoScaling, haproxy, drained }) => {
      await autoScaling({ [call]: "echo 'An error occurred (AccessDenied)' >&2; exit 254" });
      for (let n = 0; n < 4; n += 1) await script.look(...LIST);
      expect(script.errors()).toEqual([`${complaint}An error occurred (AccessDenied)`]);
      expect(script.lines()).not.toContain(COMPLETED);
      await haproxy({ web: [{ name: A, admin: 8 }, ...named(B, C)] });
      await script.look(...LIST, line(C, 'tagged'));
      expect(drained()).toContain(`web/${C}`);
      await autoScaling();
      for (let n = 0; n < 2; n += 1) await script.look(...LIST);
      expect(script.lines()).toContain(COMPLETED);
    },
  );

  test('ends for at most five instances in a look', async ({ script, haproxy, autoScaling, completions }) => {
    const ids = Array.from({ length: 7 }, (_, n) => `i-1000000${n}`);
    const servers = ids.map((name) => ({ name, admin: 0 }));
    for (const socket of SOCKETS) await haproxy({ web: [...servers, ...named(B)] }, socket);
    await autoScaling({
      describe: ids.map((id) => `case "$*" in *${id}*) printf '${id}\\tweb\\n' ;; esac`).join('\n'),
    });
    const list = ids.map((id) => line(id, 'tagged'));
    for (let n = 0; n < 3; n += 1) await script.look(...list);
    expect(completions()).toHaveLength(5);
    await script.look(...list);
    expect(completions()).toHaveLength(7);
  });

  test('never ends early without COMPLETE_HOOK', async ({ haproxy, drainTagged, commands }) => {
    await haproxy({ web: named(A, B) });
    const script = await drainTagged();
    for (let n = 0; n < 4; n += 1) await script.look(...LIST);
    expect(commands().filter((command) => command.includes('show stat'))).toEqual([]);
  });
});
