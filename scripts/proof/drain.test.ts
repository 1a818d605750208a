import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { zipSync } from 'fflate';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { fakeTerminal } from '../../test/helpers/terminal.ts';
import { main } from './drain.ts';
import { consumer, given, ID } from './made-up-outcomes.ts';
import { shortPlan } from './plan.ts';
import { report } from './report.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'drain-test-'));
});
afterEach(() => rm(folder, { recursive: true }));

test.for([
  ['--heartbeat long', '--heartbeat is "long"; expected seconds, more than 0 and at most 60'],
  ['--heartbeat 0', '--heartbeat is "0"; expected seconds, more than 0 and at most 60'],
  ['--scenario none', '--scenario is "none"; expected one of nothing, careful, function'],
  ['--consumer none', '--consumer is "none"; expected one of own'],
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
  await expect(main(['--zip', name], { INIT_CWD: docs }, fakeTerminal().terminal)).rejects.toThrow(
    expect.objectContaining({
      message: `--zip is "${join(docs, name)}"; expected a zip file with the function in index.js${reason}`,
    }),
  );
});

test('--help names every option', async () => {
  const { terminal, printed } = fakeTerminal();
  expect(await main(['--help'], {}, terminal)).toBe(0);
  for (const option of ['consumer', 'haproxies', 'short', 'scenario', 'heartbeat', 'zip', 'chart', 'json', 'help']) {
    expect(printed.out).toContain(`--${option} `);
  }
});

test('without HAProxy it says how to get it', async () => {
  const { terminal } = fakeTerminal();
  await expect(main([], { PATH: folder }, terminal)).rejects.toThrow(
    'haproxy cannot be run; install it (Debian, Ubuntu: apt-get install haproxy',
  );
});

describe('before anything starts', () => {
  beforeEach(async () => {
    await givenProgram('haproxy', 'HAProxy version 9.9');
    await givenProgram('aws', 'aws-cli/2.9.19 Python/3.11.2');
    await givenProgram('socat', 'socat version 1.7');
    await writeFile(join(folder, 'function.zip'), zipSync({ 'index.js': new Uint8Array() }));
  });

  test('it says who reads the tag, and which builder the comparisons have', async () => {
    expect(await firstLines('--consumer', 'runtime-api', '--haproxies', '2')).toEqual([
      'HAProxy 9.9, 2 of them; consumer: runtime-api, AWS CLI 2.9.19, socat 1.7',
      'without anything, careful HAProxy: consumer is own, which drops dead servers from haproxy.cfg every 1.5 s',
      expect.stringMatching(/^in each scenario 400 requests a second for 73.8 s, 10 of 12 servers leave/),
      expect.stringMatching(/^heartbeat timeout 8.9 s; it has to be at least .* = 8.90 s$/),
    ]);
  });

  test('it names no consumer that does not run, and asks for none', async () => {
    expect(await firstLines('--consumer', 'chef', '--scenario', 'careful')).toEqual([
      'HAProxy 9.9; consumer: own, part of the proof',
      expect.stringMatching(/^in each scenario/),
    ]);
  });

  test('it asks for what the consumer needs', async () => {
    const { terminal } = fakeTerminal();
    await expect(main(options(['--consumer', 'chef']), { PATH: folder }, terminal)).rejects.toThrow(
      'Chef runs only once you have accepted its licence',
    );
  });

  test('a TMPDIR that is not there is named', async () => {
    vi.stubEnv('TMPDIR', join(folder, 'missing'));
    const { terminal } = fakeTerminal();
    await expect(main(options([]), { PATH: folder }, terminal)).rejects.toThrow(
      `TMPDIR is "${folder}/missing"; expected a folder that can be written to (ENOENT)`,
    );
  });

  async function givenProgram(name: string, version: string): Promise<void> {
    await writeFile(join(folder, name), `#!/bin/sh\necho '${version}'\n`);
    await chmod(join(folder, name), 0o755);
  }

  function options(others: readonly string[]): string[] {
    return [...others, '--zip', join(folder, 'function.zip')];
  }

  /** The lines before the first scenario. The run ends there. */
  async function firstLines(...args: string[]): Promise<string[]> {
    const end = new AbortController();
    const { terminal, printed } = fakeTerminal(end.signal);
    const out = (line: string) => {
      if (line.startsWith('\n')) end.abort(new Error('the first scenario begins'));
      terminal.out(line);
    };
    const running = main(options(args), { PATH: folder }, { ...terminal, out });
    await expect(running).rejects.toThrow('the first scenario begins');
    return printed.out.trim().split('\n');
  }
});

describe('the report', () => {
  const plan = shortPlan(consumer);
  const about = { consumer: 'slow', consumerVersion: '1.0', haproxy: '9.9', haproxies: 1 };
  const run = { plan, consumer, about };
  const PROVED = [given('nothing', { lost: 3 }), given('careful', { lost: 1 }), given('function')];
  const LUCKY = [given('function', { scaleIn: { instanceId: ID, hookAt: 0, taggedAt: 1, outAt: 2, killedAt: 3 } })];

  test('of a proof has a table, a chart that says so, and the exit code 0', async () => {
    const { code, out, err, svg } = await reported(PROVED);
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(out).toMatch(/^lost +3 +1 +0$/m);
    expect(out).toMatch(/^consumer +slow +slow +slow$/m);
    expect(out).toContain(`chart: ${join(folder, 'drain.svg')}`);
    expect(texts(svg, 'lost')).toEqual(['3 of 14 requests lost', '1 of 12 requests lost']);
    expect(texts(svg, 'kept')).toEqual(['0 of 11 requests lost']);
    expect(svg).toContain('With the function no request is lost');
    expect(svg).not.toContain('not proved');
  });

  test('of a run that is not proved has the reason, in the chart as well, and the exit code 1', async () => {
    const { code, err, svg } = await reported(LUCKY);
    expect(code).toBe(1);
    expect(err).toMatch(/^not proved: with the function: no request lost, but by luck: .*$/m);
    expect(texts(svg, 'lost')).toEqual([
      'not proved: with the function: no request lost, but by luck: heartbeat timeout too short for the last …',
    ]);
    expect(texts(svg, 'kept')).toEqual([]);
    expect(svg).toContain('0 of 11 requests lost');
    expect(svg).not.toContain('no request is lost');
    expect(svg).toContain('<title>not proved: with the function: no request lost, but by luck');
  });

  test('of a comparison that loses nothing shows no success either', async () => {
    const { svg } = await reported([given('nothing'), given('function')]);
    expect(texts(svg, 'kept')).toEqual([]);
    expect(texts(svg, 'lost')).toEqual([expect.stringMatching(/^not proved: without anything: no request lost/)]);
  });

  test('of a failure with markup in its text is still a chart', async () => {
    const { svg } = await reported([given('function', { functionErrors: ['<b> & "c"'] })]);
    expect(texts(svg, 'lost')).toEqual(['not proved: with the function: the function failed: &#60;b&#62; &#38; "c"']);
  });

  test('has only JSON on standard output with --json', async () => {
    const { out, err } = await reported(PROVED, { json: true });
    const { scenarios, ...others } = JSON.parse(out);
    expect(others).toEqual(about);
    expect(scenarios).toEqual(PROVED.map(({ figures }) => figures));
    expect(err).toContain('requests sent');
  });

  test('prints table, JSON and verdict when the chart cannot be written, and then fails', async () => {
    await writeFile(join(folder, 'file'), '');
    const chart = join(folder, 'file', 'drain.svg');
    const { terminal, printed } = fakeTerminal();
    await expect(report(run, LUCKY, { json: true, chart }, terminal)).rejects.toThrow(
      /^the chart cannot be written to ".*\/file\/drain.svg" \(E.*\); --chart FILE puts it into another file$/,
    );
    expect(printed.err).toContain('requests sent');
    expect(printed.err).toContain('not proved: ');
    expect(JSON.parse(printed.out)).toMatchObject({ scenarios: [{ lost: 0 }] });
  });

  test('draws a chart for viewers without style sheets, which show the attributes', async () => {
    const { svg } = await reported(PROVED);
    expect(svg).not.toContain('var(');
    const shapes = svg.match(/<(?:rect|circle|path|text)[^>]*class=[^>]*>/g) ?? [];
    expect(shapes.length).toBeGreaterThan(20);
    expect(shapes.filter((shape) => !/ fill="(#[0-9a-f]{6}|none)"/.test(shape))).toEqual([]);
  });

  async function reported(outcomes: typeof PROVED, { json = false } = {}) {
    const chart = join(folder, 'drain.svg');
    const { terminal, printed } = fakeTerminal();
    const code = await report(run, outcomes, { json, chart }, terminal);
    return { code, ...printed, svg: await readFile(chart, 'utf8') };
  }

  /** The texts of the chart in this colour. */
  function texts(svg: string, colour: string): string[] {
    return [...svg.matchAll(new RegExp(`<text [^>]*class="fill-${colour}"[^>]*>([^<]*)<`, 'g'))].map(
      ([, text = '']) => text,
    );
  }
});
