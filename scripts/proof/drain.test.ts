import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { zipSync } from 'fflate';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { fakeTerminal } from '../../test/helpers/terminal.ts';
import { temporaryFolder } from '../temporary-folder.ts';
import { main } from './drain.ts';

test.for([
  ['--heartbeat long', '--heartbeat is "long"; expected seconds, more than 0 and at most 60'],
  ['--heartbeat 0', '--heartbeat is "0"; expected seconds, more than 0 and at most 60'],
  ['--scenario none', '--scenario is "none"; expected one of nothing, careful, function'],
  ['--consumer none', '--consumer is "none"; expected one of own, chef, runtime-api, script'],
  ['--haproxies 0', '--haproxies is "0"; expected a number from 1 to 4'],
  ['--haproxies 1.5', '--haproxies is "1.5"; expected a number from 1 to 4'],
  ['--quick', "Unknown option '--quick'"],
] as const)('%s is refused', async ([options, reason]) => {
  const { terminal, printed } = fakeTerminal();
  await expect(main(options.split(' '), {}, terminal)).rejects.toThrow(reason);
  expect(printed).toEqual({ out: '', err: '' });
});

test.for([
  ['deploy.md', ''],
  ['missing.zip', ' (ENOENT)'],
] as const)('--zip %s is refused, and looked up where the user called npm', async ([name, reason]) => {
  const docs = fileURLToPath(new URL('../../docs', import.meta.url));
  const error = new Error(`--zip is "${join(docs, name)}"; expected a zip file with the function in index.js${reason}`);
  await expect(main(['--zip', name], { INIT_CWD: docs }, fakeTerminal().terminal)).rejects.toThrow(error);
});

test('--help names every option', async () => {
  const { terminal, printed } = fakeTerminal();
  expect(await main(['--help'], {}, terminal)).toBe(0);
  for (const option of ['consumer', 'haproxies', 'short', 'scenario', 'heartbeat', 'zip', 'chart', 'json', 'help']) {
    expect(printed.out).toContain(`--${option} `);
  }
});

describe('before anything starts, the command', () => {
  let folder: string;
  let removeFolder: () => Promise<void>;
  beforeEach(async () => {
    ({ path: folder, remove: removeFolder } = await temporaryFolder('drain-test-'));
    await givenProgram('haproxy', 'HAProxy version 9.9');
    await givenProgram('aws', 'aws-cli/2.9.19 Python/3.11.2');
    await givenProgram('socat', 'socat by Gerhard Rieger\nsocat version 1.7');
    await writeFile(join(folder, 'function.zip'), zipSync({ 'index.js': new Uint8Array() }));
  });
  afterEach(() => removeFolder());

  test('names the consumer, and the consumer of the comparisons', async () => {
    expect(await firstLines('--consumer', 'runtime-api', '--haproxies', '2')).toEqual([
      'HAProxy 9.9, 2 of them; consumer: runtime-api, AWS CLI 2.9.19, socat 1.7',
      'without anything, careful HAProxy: consumer is own, which drops dead servers from haproxy.cfg every 1.5 s',
      expect.stringMatching(/^in each scenario 400 requests a second for 73.8 s, 10 of 12 servers leave/),
      expect.stringMatching(/^heartbeat timeout 8.9 s; it has to be at least .* = 8.90 s$/),
    ]);
  });

  test('does not name or need a consumer that does not run', async () => {
    expect(await firstLines('--consumer', 'chef', '--scenario', 'careful')).toEqual([
      'HAProxy 9.9; consumer: own, part of the proof',
      expect.stringMatching(/^in each scenario/),
    ]);
  });

  test('says how to install HAProxy', async () => {
    const PATH = join(folder, 'empty');
    await expect(main([], { PATH }, fakeTerminal().terminal)).rejects.toThrow(
      'haproxy cannot be run; install it (Debian, Ubuntu: apt-get install haproxy; macOS: brew install haproxy)',
    );
  });

  test('says what the consumer needs', async () => {
    await expect(start(['--consumer', 'chef'])).rejects.toThrow("Chef's licence is not accepted");
  });

  test('names a missing TMPDIR', async () => {
    vi.stubEnv('TMPDIR', join(folder, 'missing'));
    await expect(start([])).rejects.toThrow(
      `TMPDIR is "${folder}/missing"; expected a folder that can be written to (ENOENT)`,
    );
  });

  async function givenProgram(name: string, version: string): Promise<void> {
    await writeFile(join(folder, name), `#!/bin/sh\necho '${version}'\n`, { mode: 0o755 });
  }

  function start(args: readonly string[], { terminal } = fakeTerminal()): Promise<number> {
    return main([...args, '--zip', join(folder, 'function.zip')], { PATH: folder }, terminal);
  }

  /** The lines before the first scenario. The command ends there. */
  async function firstLines(...args: string[]): Promise<string[]> {
    const end = new AbortController();
    const { terminal, printed } = fakeTerminal(end.signal);
    const out = (line: string) => {
      if (line.startsWith('\n')) end.abort(new Error('the first scenario begins'));
      terminal.out(line);
    };
    await expect(start(args, { terminal: { ...terminal, out }, printed })).rejects.toThrow('the first scenario begins');
    return printed.out.trim().split('\n');
  }
});
