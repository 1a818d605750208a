import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { fakeTerminal } from '../../test/helpers/terminal.ts';
import { temporaryFolder } from '../temporary-folder.ts';
import { main } from './drain.ts';

vi.mock('../bundle.ts', () => ({ bundle: async () => ({ zip: new Uint8Array() }) }));

test.for([
  ['--heartbeat long', '--heartbeat is "long"; expected seconds, more than 0 and at most 60'],
  ['--heartbeat 0', '--heartbeat is "0"; expected seconds, more than 0 and at most 60'],
  ['--scenario none', '--scenario is "none"; expected one of nothing, careful, function'],
  ['--consumer none', '--consumer is "none"; expected one of own, chef, runtime-api, script'],
  ['--haproxies 0', '--haproxies is "0"; expected a number from 1 to 4'],
  ['--haproxies 1.5', '--haproxies is "1.5"; expected a number from 1 to 4'],
] as const)('%s is refused', async ([options, reason]) => {
  const { terminal, printed } = fakeTerminal();
  await expect(main(options.split(' '), {}, terminal)).rejects.toThrow(reason);
  expect(printed).toEqual({ out: '', err: '' });
});

describe('before anything starts, the command', () => {
  let folder: string;
  let removeFolder: () => Promise<void>;
  beforeEach(async () => {
    ({ path: folder, remove: removeFolder } = await temporaryFolder('drain-test-'));
    await givenProgram('haproxy', 'HAProxy version 9.9');
    await givenProgram('aws', 'aws-cli/2.9.19 Python/3.11.2');
    await givenProgram('socat', 'socat by Gerhard Rieger\nsocat version 1.7');
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

  test('neither names nor needs a consumer that does not run', async () => {
    expect(await firstLines('--consumer', 'chef', '--scenario', 'careful')).toEqual([
      'HAProxy 9.9; consumer: own, part of the proof',
      expect.stringMatching(/^in each scenario/),
    ]);
  });

  test('says how to install HAProxy, and what the consumer needs', async () => {
    const { terminal } = fakeTerminal();
    await expect(main([], { PATH: join(folder, 'empty') }, terminal)).rejects.toThrow(
      'haproxy cannot be run; install it (Debian, Ubuntu: apt-get install haproxy; macOS: brew install haproxy)',
    );
    await expect(main(['--consumer', 'chef'], { PATH: folder }, terminal)).rejects.toThrow('accepted its licence');
  });

  async function givenProgram(name: string, version: string): Promise<void> {
    await writeFile(join(folder, name), `#!/bin/sh\necho '${version}'\n`, { mode: 0o755 });
  }

  /** The lines before the first scenario. The command ends there. */
  async function firstLines(...args: string[]): Promise<string[]> {
    const end = new AbortController();
    const { terminal, printed } = fakeTerminal(end.signal);
    const out = (line: string) => {
      if (line.startsWith('\n')) end.abort(new Error('the first scenario begins'));
      terminal.out(line);
    };
    await expect(main(args, { PATH: folder }, { ...terminal, out })).rejects.toThrow('the first scenario begins');
    return printed.out.trim().split('\n');
  }
});
