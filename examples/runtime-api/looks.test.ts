import { readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect } from 'vitest';
import { line, named, test } from './fake-programs.ts';

const [A, B, C] = ['i-0000000a', 'i-0000000b', 'i-0000000c'];

describe.concurrent('the last usable server of a backend', () => {
  test('stays, and is drained when another server becomes usable', async ({ haproxy, drained, drainTagged }) => {
    await haproxy({ web: named(A, B) });
    const script = await drainTagged();
    const list = [line(A, 'tagged'), line(B, 'tagged'), line(C)];
    await script.look(...list);
    await script.look(...list);
    expect(drained()).toEqual([`web/${A}`]);
    const kept = `one.sock: web/${B} is not drained, because web has no other server that is up`;
    // The script says so once, although the script looked twice.
    expect(script.errors()).toEqual([kept]);
    await haproxy({ web: [{ name: A, admin: 8 }, ...named(B, C)] });
    await script.look(...list);
    expect(drained()).toEqual([`web/${A}`, `web/${B}`]);
    await haproxy({ web: [{ name: A, admin: 8 }, ...named(B)] });
    await script.look(...list);
    expect(script.errors()).toEqual([kept, kept]);
  });

  test.for([
    ['is down', { operation: 0 }],
    ['has no weight', { weight: 0 }],
    ['is in maintenance', { admin: 1 }],
    ['is in maintenance with the server that it tracks', { admin: 2 }],
    ['was drained by somebody else', { admin: 8 }],
    ['is drained with the server that it tracks', { admin: 16 }],
    ['has no address in DNS', { admin: 32 }],
  ] as const)('stays when the other server %s', async ([, other], { haproxy, drained, drainTagged }) => {
    const servers = [{ name: A }, { name: B, ...other }];
    await haproxy({ web: servers, api: named(A, B) });
    const script = await drainTagged();
    await script.look(line(A, 'tagged'), line(B));
    expect(drained()).toEqual([...('admin' in other && other.admin === 8 ? [`web/${B}`] : []), `api/${A}`]);
    expect(script.errors()).toEqual([`one.sock: web/${A} is not drained, because web has no other server that is up`]);
  });

  test.for([
    ['starts slowly', { operation: 1 }],
    ['was disabled in the configuration, and enabled', { admin: 4 }],
  ] as const)('may go when the other server %s', async ([, other], { haproxy, drained, drainTagged }) => {
    await haproxy({ web: [{ name: A }, { name: B, ...other }] });
    const script = await drainTagged();
    await script.look(line(A, 'tagged'), line(B));
    expect(drained()).toEqual([`web/${A}`]);
  });

  test('is counted in HAProxy: servers of other groups count', async ({ haproxy, drained, drainTagged }) => {
    await haproxy({ web: named(A, 'green') });
    const script = await drainTagged({ groups: 'blue' });
    await script.look(line(A, 'tagged'));
    expect(drained()).toEqual([`web/${A}`]);
  });

  test('does not depend on a tagged server that is down', async ({ haproxy, drained, drainTagged }) => {
    await haproxy({ web: [{ name: A, operation: 0 }, ...named(B)] });
    const script = await drainTagged();
    await script.look(line(A, 'tagged'), line(B));
    expect(drained()).toEqual([`web/${A}`]);
  });
});

describe.concurrent('a server with another name', () => {
  test.for([
    ['IPv4', '10.0.0.1', { ipv4: '10.0.0.1' }],
    ['IPv6', '2001:db8::1', { ipv6: '2001:db8::1' }],
  ] as const)('is found by its %s address', async ([, address, more], { haproxy, drained, drainTagged }) => {
    await haproxy({ web: [{ name: 'slot1', address }, { name: 'slot2', address: '10.0.0.2' }, { name: 'slot3' }] });
    const script = await drainTagged();
    await script.look(line(A, 'tagged', more), line(B, 'untagged', { ipv4: '10.0.0.2' }));
    expect(drained()).toEqual(['web/slot1']);
    await script.look(line(A, 'untagged', more));
    await script.look(line(A, 'untagged', more));
    expect(drained()).toEqual([]);
    expect(script.errors()).toEqual([]);
  });

  test('is not found by an ambiguous address', async ({ haproxy, drained, drainTagged }) => {
    const ipv4 = '127.0.0.1';
    await haproxy({ web: [{ name: 'slot1', address: ipv4 }, ...named('slot2')] });
    const script = await drainTagged();
    // Different wishes.
    await script.look(line(A, 'tagged', { ipv4 }), line(B, 'untagged', { ipv4, state: 'stopped' }));
    // The same wish, but two running instances.
    await script.look(line(A, 'tagged', { ipv4 }), line(B, 'tagged', { ipv4 }));
    expect(drained()).toEqual([]);
    // The same wish, and only one can be meant.
    await script.look(line(A, 'tagged', { ipv4, state: 'shutting-down' }), line(C, 'tagged', { ipv4 }));
    expect(drained()).toEqual(['web/slot1']);
    expect(script.errors()).toEqual([A, B].map((id) => `no HAProxy has a server for the tagged instance ${id}`));
  });

  test('that is the id of a listed instance is found by name only', async ({ haproxy, drained, drainTagged }) => {
    const ipv4 = '10.0.0.1';
    await haproxy({ web: [{ name: B, address: ipv4 }, ...named('other')] });
    const script = await drainTagged();
    await script.look(line(A, 'tagged', { ipv4 }), line(B));
    expect(drained()).toEqual([]);
  });

  test('that is the id of an instance in another group may have the same address', async ({
    haproxy,
    drained,
    drainTagged,
  }) => {
    const address = '127.0.0.1';
    const servers = [A, B, C, 'slot'].map((name) => ({ name, address }));
    await haproxy({ web: [...servers, ...named('other')] });
    const script = await drainTagged({ groups: 'blue' });
    await script.look(line(A, 'tagged', { ipv4: address }));
    expect(drained()).toEqual([`web/${A}`, 'web/slot']);
    // Nobody has a server with the id of the instance, so the address decides.
    await haproxy({ web: [...servers.slice(1), ...named('other')] });
    await script.look(line(A, 'tagged', { ipv4: address }));
    expect(drained()).toEqual([`web/${B}`, `web/${C}`, 'web/slot']);
  });

  test('that no instance has is named once, after every HAProxy has answered', async ({ haproxy, drainTagged }) => {
    await haproxy({ web: named('other') });
    const script = await drainTagged({ sockets: ['one.sock', 'two.sock'] });
    const list = [line(A, 'tagged'), line(B, 'tagged'), line(C, 'tagged', { state: 'terminated' })];
    await script.look(...list);
    const silent = 'two.sock: no answer; its servers stay as they are';
    expect(script.errors()).toEqual([silent]);
    await haproxy({ web: named(B, 'other') }, 'two.sock');
    await script.look(...list);
    // Another program may remove the server from HAProxy.
    await haproxy({ web: named('other') }, 'two.sock');
    await script.look(...list);
    await script.look(...list);
    expect(script.errors()).toEqual([silent, `no HAProxy has a server for the tagged instance ${A}`]);
  });
});

describe.concurrent('a drained server', () => {
  test('becomes ready after two answers of EC2 in a row', async ({ haproxy, drained, drainTagged }) => {
    await haproxy({ web: named(A, B) });
    const script = await drainTagged();
    const [tagged, untagged] = [line(A, 'tagged'), line(A)];
    for (const [answer, servers] of [
      [tagged, [`web/${A}`]],
      [untagged, [`web/${A}`]],
      [tagged, [`web/${A}`]],
      [untagged, [`web/${A}`]],
      [line(A, 'untagged', { state: 'stopped' }), [`web/${A}`]],
      [untagged, [`web/${A}`]],
      [untagged, []],
    ] as const) {
      await script.look(answer, line(B));
      expect(drained()).toEqual(servers);
    }
  });

  test('without a health check becomes ready when its port takes a connection', async ({
    folder,
    haproxy,
    drained,
    drainTagged,
  }) => {
    const unchecked = { hasCheck: false, port: 8080 };
    await haproxy({
      web: [
        { name: A, address: '10.0.0.1', ...unchecked },
        { name: B, address: '2001:db8::2', ...unchecked },
        // The client's port: nobody knows which one to try.
        { name: C, address: '10.0.0.3', ...unchecked, port: 0 },
        ...named('other'),
      ],
    });
    const script = await drainTagged();
    await script.look(...[A, B, C].map((id) => line(id, 'tagged')));
    await script.look(...[A, B, C].map((id) => line(id)));
    await writeFile(join(folder, 'listeners'), '[2001:db8::2]:8080\n');
    for (let n = 0; n < 2; n += 1) await script.look(...[A, B, C].map((id) => line(id)));
    expect(drained()).toEqual([`web/${A}`]);
    expect(script.errors()).toEqual([
      `one.sock: web/${A} stays drained, because it takes no connection at 10.0.0.1 8080`,
    ]);
    await writeFile(join(folder, 'listeners'), '10.0.0.1:8080\n');
    await script.look(line(A));
    expect(drained()).toEqual([]);
  });

  test.for([true, false])(
    'is forgotten when it becomes ready, with a health check: %s',
    async (hasCheck, { folder, haproxy, drained, drainTagged }) => {
      const server = { name: A, address: '10.0.0.1', hasCheck };
      await writeFile(join(folder, 'listeners'), '10.0.0.1:80\n');
      await haproxy({ web: [server, ...named(B)] });
      const script = await drainTagged();
      for (const wish of ['tagged', 'untagged', 'untagged'] as const) await script.look(line(A, wish));
      expect(drained()).toEqual([]);
      // Somebody else drains the server.
      await haproxy({ web: [{ ...server, admin: 8 }, ...named(B)] });
      for (let n = 0; n < 2; n += 1) await script.look(line(A));
      expect(drained()).toEqual([`web/${A}`]);
    },
  );

  test('is recognised by the bit in its state', async ({ haproxy, commands, drainTagged }) => {
    // 4: disabled in the configuration. 8: drained.
    await haproxy({ web: [{ name: A, admin: 12 }, { name: B, admin: 4 }, ...named('other')] });
    const script = await drainTagged();
    await script.look(line(A, 'tagged'), line(B, 'tagged'));
    expect(commands().filter((command) => command.includes('set server'))).toEqual([
      expect.stringMatching(`set server web/${B} state drain$`),
    ]);
  });

  test('of somebody else stays drained, and one with a longer name is another server', async ({
    haproxy,
    drained,
    drainTagged,
  }) => {
    const longer = `${A}bcdef01`;
    await haproxy({ web: [{ name: longer }, { name: A, admin: 8 }, ...named('other')] });
    const script = await drainTagged();
    await script.look(line(A, 'tagged'), line(longer, 'tagged'));
    await haproxy({ web: [{ name: longer, admin: 8 }, { name: A }, ...named('other')] });
    await script.look(line(A, 'tagged'), line(longer, 'tagged'));
    expect(drained()).toEqual([`web/${longer}`, `web/${A}`]);
    for (let n = 0; n < 2; n += 1) await script.look(line(A), line(longer));
    expect(drained()).toEqual([]);
  });

  test('is recorded for its HAProxy and groups', async ({ haproxy, drained, drainTagged, folder }) => {
    await haproxy({ web: named(A, B) }, 'one.sock');
    await haproxy({ web: [{ name: A, admin: 8 }, { name: B }] }, 'two.sock');
    const script = await drainTagged({ sockets: ['one.sock', 'two.sock'], groups: 'web' });
    await script.look(line(A, 'tagged'), line(B));
    for (let n = 0; n < 2; n += 1) await script.look(line(A), line(B));
    // Somebody else drained the server of the second HAProxy.
    expect([drained('one.sock'), drained('two.sock')]).toEqual([[], [`web/${A}`]]);
    await script.look(line(A, 'tagged'), line(B));
    await script.stop();
    const other = await drainTagged({ groups: 'other' });
    for (let n = 0; n < 2; n += 1) await other.look(line(A), line(B));
    expect(drained('one.sock')).toEqual([`web/${A}`]);
    await other.stop();
    const again = await drainTagged({ sockets: ['one.sock'] });
    for (let n = 0; n < 2; n += 1) await again.look(line(A), line(B));
    expect(drained('one.sock')).toEqual([]);
    expect(await readdir(join(folder, 'state'))).toHaveLength(3);
  });
});

describe.concurrent('trouble with the record', () => {
  const complaint = expect.stringMatching(
    /^state\/\S+ cannot be written; a server that is drained now stays drained until somebody sets it to ready$/,
  );

  test('does not stop a drain when the folder is missing, also later', async ({
    folder,
    haproxy,
    drained,
    drainTagged,
  }) => {
    await haproxy({ web: named(A, B, C) });
    await rm(join(folder, 'state'), { recursive: true });
    const script = await drainTagged();
    await script.look(line(A, 'tagged'), line(B));
    await script.look(line(A, 'tagged'), line(B, 'tagged'));
    expect(drained()).toEqual([`web/${A}`, `web/${B}`]);
    expect(script.errors()).toEqual([complaint]);
  });

  test('does not stop a drain when the record cannot be written', async ({ folder, haproxy, drained, drainTagged }) => {
    await haproxy({ web: named(A, B, C) });
    const script = await drainTagged();
    await script.look(line(A), line(B));
    const [record = ''] = await readdir(join(folder, 'state'));
    await rm(join(folder, 'state', record));
    await symlink('/nowhere/record', join(folder, 'state', record));
    await script.look(line(A, 'tagged'), line(B));
    await script.look(line(A, 'tagged'), line(B, 'tagged'));
    expect(drained()).toEqual([`web/${A}`, `web/${B}`]);
    expect(script.errors()).toEqual([complaint]);
  });

  test('does not stop a drain when the last line of the record has no end', async ({
    folder,
    haproxy,
    drained,
    drainTagged,
  }) => {
    await haproxy({ web: named(A, B) });
    const script = await drainTagged();
    await script.look(line(A), line(B));
    const [record = ''] = await readdir(join(folder, 'state'));
    await writeFile(join(folder, 'state', record), 'web/i-00');
    await script.look(line(A, 'tagged'), line(B));
    expect(drained()).toEqual([`web/${A}`]);
  });

  test('does not come from a long name of a group', async ({ haproxy, drained, drainTagged }) => {
    await haproxy({ web: named(A, B) });
    const script = await drainTagged({ groups: 'g'.repeat(255) });
    await script.look(line(A, 'tagged'), line(B));
    for (let n = 0; n < 2; n += 1) await script.look(line(A), line(B));
    expect(drained()).toEqual([]);
    expect(script.errors()).toEqual([]);
  });
});

describe.concurrent('EC2', () => {
  test('is asked for the groups and tag as they are written', async ({ drainTagged }) => {
    const groups = `a,b "c" \\d*?:it's [{@=$(e)}]:-x ö`;
    const script = await drainTagged({ groups, settings: { TAG_KEY: 'k\\`?', TAG_VALUE: 'a b' } });
    const question = await script.question();
    const filters = JSON.parse(question[question.indexOf('--filters') + 1] ?? '');
    const Values = [`a,b "c" \\\\d\\*\\?`, `it's [{@=$(e)}]`, '-x ö'];
    expect(filters).toEqual([{ Name: 'tag:aws:autoscaling:groupName', Values }]);
    expect(question.join('\n')).toContain("Tags[?Key=='k\\`?' && Value=='a b']");
  });

  test('changes nothing with an empty list, and the script complains once', async ({
    haproxy,
    commands,
    drainTagged,
  }) => {
    await haproxy({ web: named(A, B) });
    const script = await drainTagged();
    for (const words of ['', 'None', '']) await script.answer(`echo '${words}'\n`);
    expect(commands()).toEqual([]);
    expect(script.errors()).toEqual(['EC2 lists no instance of web; nothing is changed', 'None']);
    await script.look(line(A));
    await script.answer('');
    expect(script.errors()).toHaveLength(3);
  });

  test('changes nothing with an error, a part of the list or a broken line', async ({
    haproxy,
    commands,
    drainTagged,
  }) => {
    await haproxy({ web: named(A, B) });
    const script = await drainTagged();
    const part = `printf '%s\\n' '${line(A, 'tagged')}' '${line(B)}'`;
    await script.answer(`${part}; echo 'An error occurred (UnauthorizedOperation)' >&2; exit 254`);
    await script.answer(`${part}; exit 255`);
    await script.answer(`${part}; printf 'i-0000000c\\trunn'`);
    const complaint = 'EC2 did not answer completely; nothing is changed';
    expect(script.errors()).toEqual([
      ...['An error occurred (UnauthorizedOperation)', complaint],
      complaint,
      ...['i-0000000c\trunn', complaint],
    ]);
    expect(commands()).toEqual([]);
  });

  test('may warn', async ({ haproxy, drained, drainTagged }) => {
    await haproxy({ web: named(A, B) });
    const script = await drainTagged();
    await script.answer(`echo 'a warning' >&2; printf '%s\\n' '${line(A, 'tagged')}'`);
    expect(drained()).toEqual([`web/${A}`]);
    expect(script.errors()).toEqual(['a warning']);
  });

  test.for(['RequestLimitExceeded', 'Throttling'])(
    'is asked less often after %s',
    async (code, { folder, haproxy, drainTagged }) => {
      await haproxy({ web: named(A, B) });
      await writeFile(join(folder, 'sleep'), '#!/bin/sh\necho "$1" >>"$(dirname "$0")/pauses"\n', { mode: 0o755 });
      const script = await drainTagged({ settings: { INTERVAL: '2' } });
      const throttled = `echo 'An error occurred (${code}) when calling DescribeInstances' >&2; exit 254\n`;
      for (let n = 0; n < 12; n += 1) await script.answer(throttled);
      await script.look(line(A));
      await script.answer('echo other >&2; exit 1\n');
      const pauses = (await readFile(join(folder, 'pauses'), 'utf8')).trim().split('\n').map(Number);
      const backoffs = pauses.slice(0, -2);
      for (const [n, pause] of backoffs.entries()) {
        expect(pause).toBeGreaterThanOrEqual(2);
        expect(pause).toBeLessThanOrEqual(2 + Math.min(10, 2 * 2 ** (n + 1)));
      }
      expect(Math.max(...backoffs)).toBeGreaterThan(6);
      expect(new Set(backoffs).size).toBe(12);
      expect(pauses.slice(-2)).toEqual([2, 2]);
      expect(script.errors()).toEqual([
        'EC2 throttles the calls; the script asks less often until EC2 answers',
        ...['other', 'EC2 did not answer completely; nothing is changed'],
      ]);
    },
  );
});

test('keeps the reports of many HAProxies apart, and does not add them up', async ({ haproxy, drainTagged }) => {
  const sockets = Array.from({ length: 8 }, (_, n) => `${n}.sock`);
  const idsOf = sockets.map((_, n) => Array.from({ length: 500 }, (_, m) => `i-${n}${String(m).padStart(16, '0')}`));
  for (const [n, socket] of sockets.entries()) {
    // Somebody else has drained these servers.
    await haproxy({ web: (idsOf[n] ?? []).map((name) => ({ name, admin: 8 })) }, socket);
  }
  const script = await drainTagged({ sockets });
  for (let n = 0; n < 2; n += 1) await script.look(...idsOf.flat().map((id) => line(id, 'tagged')));
  expect(script.errors()).toEqual([]);
});

test('reaches HAProxy over TCP', async ({ haproxy, commands, drainTagged }) => {
  await haproxy({ web: named(A, B) }, 'TCP4:10.0.0.5:9999');
  await haproxy({ web: named(A, B) }, 'TCP6:[2001:db8::5]:9999');
  const script = await drainTagged({ sockets: ['ipv4@10.0.0.5:9999', 'ipv6@[2001:db8::5]:9999'] });
  await script.look(line(A, 'tagged'));
  expect(commands().sort()).toEqual(
    ['TCP4:10.0.0.5:9999', 'TCP6:[2001:db8::5]:9999'].flatMap((address) => [
      `${address} set server web/${A} state drain`,
      `${address} show servers state`,
    ]),
  );
  expect(script.lines().sort()).toEqual([
    `ipv4@10.0.0.5:9999: web/${A} is set to drain`,
    `ipv6@[2001:db8::5]:9999: web/${A} is set to drain`,
  ]);
});
