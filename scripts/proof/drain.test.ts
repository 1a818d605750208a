import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { fakeTerminal } from '../../test/helpers/terminal.ts';
import { temporaryFolder } from '../temporary-folder.ts';
import { consumerThatRan } from './commands.ts';
import { chef } from './consumers/chef.ts';
import { own } from './consumers/own.ts';
import { runtimeApi } from './consumers/runtime-api.ts';
import { script } from './consumers/script.ts';
import { main } from './drain.ts';
import { type Given, ON_TIME, outcome } from './fixtures.ts';
import type { ScenarioName } from './scenario.ts';
import type { StageOptions } from './stage.ts';

vi.mock('../bundle.ts', () => ({ bundle: async () => ({ zip: new Uint8Array() }) }));

/** What each consumer starts. The real start tells which consumer a scenario gets, whatever its name says. */
const COMMANDS = new Map<unknown, string[]>([
  [own.start, []],
  [chef.start, ['bundle exec chef-client']],
  [runtimeApi.start, ['examples/runtime-api/drain-tagged-servers.sh web']],
  [script.start, ['examples/script/update-haproxy.sh web']],
]);

/** The number of HAProxies in each scenario. */
const haproxiesOf = new Map<ScenarioName, number>();

/** What happens in the scenarios, which are made up here. */
const given: Partial<Record<ScenarioName, Given>> = {};
vi.mock('./scenario.ts', async (original) => ({
  ...(await original<typeof import('./scenario.ts')>()),
  runScenario: async (name: ScenarioName, { consumer, haproxies }: StageOptions) => {
    haproxiesOf.set(name, haproxies);
    const commands = COMMANDS.get(consumer.start) ?? [];
    return { ...outcome(name, { consumer: consumerThatRan(consumer.name, commands), ...given[name] }), commands };
  },
}));

test.for([
  ['--heartbeat long', '--heartbeat is "long"; expected seconds, more than 0 and at most 60'],
  ['--heartbeat 0', '--heartbeat is "0"; expected seconds, more than 0 and at most 60'],
  ['--scenario none', '--scenario is "none"; expected one of nothing, careful, function, complete'],
  ['--consumer none', '--consumer is "none"; expected one of own, chef, runtime-api, script'],
  ['--complete', '--consumer is "own"; expected runtime-api with --complete, to end the wait'],
  ['--scenario complete --consumer script', '--consumer is "script"; expected runtime-api with --complete'],
  ['--haproxies 0', '--haproxies is "0"; expected a number from 1 to 4'],
  ['--haproxies 1.5', '--haproxies is "1.5"; expected a number from 1 to 4'],
] as const)('%s is refused', async ([options, reason]) => {
  const { terminal, printed } = fakeTerminal();
  await expect(main(options.split(' '), {}, terminal)).rejects.toThrow(reason);
  expect(printed).toEqual({ out: '', err: '' });
});

describe('the command', () => {
  let folder: string;
  let removeFolder: () => Promise<void>;
  beforeEach(async () => {
    ({ path: folder, remove: removeFolder } = await temporaryFolder('drain-test-'));
    await givenProgram('haproxy', 'HAProxy version 9.9');
    await givenProgram('aws', 'aws-cli/2.9.19 Python/3.11.2');
    await givenProgram('socat', 'socat by Gerhard Rieger\nsocat version 1.7');
    await givenProgram('bundle', 'Chef Infra Client: 18.11.11');
    Object.assign(given, { nothing: { lost: 3 }, careful: { lost: 1 }, function: { lost: 0 } });
  });
  afterEach(() => removeFolder());

  test('says what runs, with the own consumer in the comparisons, and the figures of a proof', async () => {
    const { code, lines, err, svg } = await drain('--consumer', 'runtime-api', '--haproxies', '2', '--heartbeat', '9');
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(lines.slice(0, 4)).toEqual([
      'HAProxy 9.9, 2 of them; consumer: runtime-api, AWS CLI 2.9.19, socat 1.7',
      'without anything, careful HAProxy: consumer is own, which drops dead servers from haproxy.cfg every 1.5 s',
      expect.stringMatching(/^in each scenario 400 requests a second for 73.9 s, 10 of 12 servers leave/),
      expect.stringMatching(/^heartbeat timeout 9 s; it has to be at least .* = 8.90 s$/),
    ]);
    expect(lines).toContainEqual(expect.stringMatching(/^consumer +own +own +runtime-api$/));
    expect([...haproxiesOf.values()]).toEqual([2, 2, 2]);
    expect(lines).toContainEqual(expect.stringMatching(/^lost +3 +1 +0$/));
    expect(lines).toContainEqual(expect.stringMatching(/^ +502 Bad Gateway +3 +1 +0$/));
    expect(svg.match(/>\d+ of \d+ requests lost</g)).toEqual([
      '>3 of 14 requests lost<',
      '>1 of 12 requests lost<',
      '>0 of 11 requests lost<',
    ]);
    expect(svg).toContain('>With the function no request is lost');
    expect(svg).not.toContain('not proved');
  });

  test.for([
    ['own', 'part of the proof'],
    ['chef', 'Chef Infra Client 18.11.11'],
    ['runtime-api', 'AWS CLI 2.9.19, socat 1.7'],
    ['script', 'AWS CLI 2.9.19, socat 1.7'],
  ] as const)('runs the consumer %s', async ([name, consumerVersion]) => {
    const { code, out, err } = await drain('--consumer', name, '--scenario', 'function', '--json', '--short');
    expect({ code, err }).toEqual({ code: 0, err: expect.stringContaining(`consumer: ${name}, ${consumerVersion}\n`) });
    expect(JSON.parse(out)).toMatchObject({ consumer: name, consumerVersion, scenarios: [{ consumer: name }] });
  });

  test('adds a scenario with --complete, and shows how long an instance waits with and without it', async () => {
    given.complete = { scaleIns: [{ ...ON_TIME, killedAt: 3000, completion: { wasIdle: true, seenIdleMs: 1000 } }] };
    const { code, lines, err, svg } = await drain('--consumer', 'runtime-api', '--complete', '--short');
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(lines).toContainEqual(
      expect.stringMatching(
        /^heartbeat timeout 20.9 s; it has to be at least .* = 8.90 s, and 12 s more, in which the/,
      ),
    );
    expect(lines).toContainEqual(expect.stringMatching(/^consumer +own +own +runtime-api +runtime-api$/));
    expect(lines).toContainEqual(
      expect.stringMatching(/^wait of an instance, median +4,000 ms +4,000 ms +4,000 ms +2,000 ms$/),
    );
    expect(svg).toContain('>with the function, wait ended by the consumer<');
    const only = await drain('--consumer', 'runtime-api', '--complete', '--scenario', 'complete', '--json');
    expect(JSON.parse(only.out).scenarios).toEqual([
      expect.objectContaining({ name: 'complete', waitMs: { median: 2000, longest: 2000 } }),
    ]);
    expect(only.svg).toContain('>With the function no request is lost');
  });

  test('neither names nor needs a consumer that does not run, and prints only JSON with --json', async () => {
    const { out, err } = await drain('--consumer', 'chef', '--scenario', 'careful', '--json', '--short');
    expect(err).toContain('HAProxy 9.9; consumer: own, part of the proof\nin each scenario 300 requests');
    expect(JSON.parse(out)).toEqual({
      consumer: 'own',
      consumerVersion: 'part of the proof',
      haproxy: '9.9',
      haproxies: 1,
      scenarios: [expect.objectContaining({ name: 'careful', consumer: 'own', lost: 1, sent: 12 })],
    });
  });

  test('says why a run is not proved, shows no success in the chart, and fails', async () => {
    given.function = { tagLeft: true };
    const { code, err, svg } = await drain('--scenario', 'function');
    expect(code).toBe(1);
    expect(err).toMatch(/^not proved: with the function: .* came back from the warm pool with the tag$/m);
    expect(svg).toContain('>not proved<');
    expect(svg).toContain('<title>not proved: with the function: 0 of 11 requests lost<');
    expect(svg).not.toContain('no request is lost');
  });

  test('fails after table, JSON and verdict when the chart cannot be written', async () => {
    given.function = { lost: 1 };
    const { terminal, printed } = fakeTerminal();
    const chart = join(folder, 'haproxy', 'drain.svg');
    const args = ['--json', '--scenario', 'function', '--chart', 'haproxy/drain.svg'];
    await expect(main(args, { PATH: folder, INIT_CWD: folder }, terminal)).rejects.toThrow(
      `--chart is "${chart}"; expected a file that can be written (E`,
    );
    expect(printed.err).toContain('requests sent');
    expect(printed.err).toContain('not proved: ');
    expect(JSON.parse(printed.out)).toMatchObject({ scenarios: [{ lost: 1 }] });
  });

  test('says how to install HAProxy, and what the consumer needs', async () => {
    const { terminal } = fakeTerminal();
    await expect(main([], { PATH: join(folder, 'empty') }, terminal)).rejects.toThrow(
      'haproxy cannot be run; install it (Debian, Ubuntu: apt-get install haproxy; macOS: brew install haproxy)',
    );
    await expect(main(['--consumer', 'chef'], { PATH: folder }, terminal)).rejects.toThrow('accept the licence');
  });

  async function givenProgram(name: string, version: string): Promise<void> {
    await writeFile(join(folder, name), `#!/bin/sh\necho '${version}'\n`, { mode: 0o755 });
  }

  async function drain(...args: string[]) {
    const chart = join(folder, 'drain.svg');
    const { terminal, printed } = fakeTerminal();
    const code = await main([...args, '--chart', chart], { PATH: folder, CHEF_LICENSE: 'accept' }, terminal);
    return { code, ...printed, lines: printed.out.split('\n'), svg: await readFile(chart, 'utf8') };
  }
});
