import { once } from 'node:events';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { expect, onTestFinished, test, vi } from 'vitest';
import { askSocket } from '../haproxy.ts';
import { temporaryFolder } from '../temporary-folder.ts';
import { ID, OTHER, servers } from './fixtures.ts';
import { recordLooks, seenIdleMs } from './looks.ts';

const STATISTICS = `# pxname,svname,qcur,qmax,scur,smax,status,addr,
web,FRONTEND,,,9,9,OPEN,,
web,${ID},0,9,0,9,DRAIN,127.0.0.2:80,
web,${OTHER},0,9,1,9,UP,127.0.0.3:80,
web,BACKEND,0,9,1,9,UP,,
`;

/** A stats socket that answers each command with this text. */
async function socketThatSays(answer: string) {
  const { path: folder, remove } = await temporaryFolder('looks-');
  const socket = join(folder, 'stats.sock');
  const server = createServer({ allowHalfOpen: true }, (client) => {
    client.on('data', (command) => client.end(`${command}${answer}\n`));
  });
  await once(server.listen(socket), 'listening');
  const { path, looks, stop } = await recordLooks(socket, join(folder, 'looks.sock'));
  onTestFinished(async () => {
    server.close();
    await stop();
    await remove();
  });
  return { ask: (command: string) => askSocket(path, command), looks, server };
}

test.for([
  ['with an idle server', STATISTICS, { inPlace: [OTHER], busy: [OTHER] }],
  ['with a queued request', STATISTICS.replace(`${ID},0`, `${ID},1`), { inPlace: [OTHER], busy: [ID, OTHER] }],
  ['among other answers', `i-1 other\n\n${STATISTICS}\ni-2,other`, { inPlace: [OTHER], busy: [OTHER] }],
] as const)('the statistics are passed on, and recorded: %s', async ([, answer, seen]) => {
  vi.spyOn(Date, 'now').mockReturnValue(12);
  const { ask, looks } = await socketThatSays(answer);
  expect(await ask('show stat')).toBe(`show stat\n${answer}\n`);
  await vi.waitFor(() => expect(looks).toEqual([{ at: 12, servers: servers(seen) }]));
});

test('other answers are passed on, and no answer is no answer', async () => {
  const { ask, looks, server } = await socketThatSays('1\n# be_id be_name srv_id');
  expect(await ask('show servers state')).toBe('show servers state\n1\n# be_id be_name srv_id\n');
  server.close();
  expect(await ask('show stat').catch(() => '')).toBe('');
  expect(looks).toEqual([]);
});

const look = (at: number, busy: readonly string[] = []) => ({ at, servers: servers({ inPlace: [OTHER], busy }) });

test.for([
  ['since its last session ended', [[look(1), look(2, [ID]), look(5), look(9)]], 4],
  [
    'in the HAProxy that became idle last',
    [
      [look(1), look(9)],
      [look(2, [ID]), look(5), look(8)],
    ],
    3,
  ],
  ['not while HAProxy has it in place', [[look(1), { at: 5, servers: servers({ inPlace: [ID] }) }]], 0],
  ['not by a single look', [[look(9)]], 0],
  ['not in an HAProxy that was never asked', [[look(1), look(9)], []], 0],
] as const)('an instance is seen idle: %s', ([, looks, ms]) => {
  expect(seenIdleMs(looks, ID)).toBe(ms);
});
