import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { zipSync } from 'fflate';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { skippedWithout } from '../../test/helpers/programs.ts';
import { fakeTerminal } from '../../test/helpers/terminal.ts';
import { bundle } from '../bundle.ts';
import { temporaryFolder } from '../temporary-folder.ts';
import { own } from './consumers/own.ts';
import { runtimeApi } from './consumers/runtime-api.ts';
import { main } from './drain.ts';
import { endingConsumer } from './ending-consumer.ts';
import { evaluate, type Figures } from './figures.ts';
import { planFor } from './plan.ts';
import { runScenario } from './scenario.ts';
import { problemsOf } from './verdict.ts';

let folder: string;
let removeFolder: () => Promise<void>;
beforeEach(async () => {
  ({ path: folder, remove: removeFolder } = await temporaryFolder('proof '));
});
afterEach(() => removeFolder());

// Each of these tests puts a real load on this machine. So the tests run one by one, in their own Vitest project.
describe.skipIf(skippedWithout({ haproxy: '-v' }, 'npm run drain'))('npm run drain', () => {
  beforeEach(() => void vi.stubEnv('TMPDIR', folder));

  test('no request is lost with the function, and some are without it', async () => {
    const { code, out, err, svg } = await drain('--short', '--json');
    expect({ code, err }).toEqual({ code: 0, err: expect.not.stringContaining('not proved') });
    const { scenarios, ...about } = JSON.parse(out) as { scenarios: Figures[] };
    const version = expect.stringMatching(/^\d+\.\d+\.\d+/);
    expect(about).toEqual({ consumer: 'own', consumerVersion: 'part of the proof', haproxy: version, haproxies: 1 });
    expect(scenarios.map(({ name, consumer }) => [name, consumer])).toEqual([
      ['nothing', 'own'],
      ['careful', 'own'],
      ['function', 'own'],
    ]);
    expect(scenarios.map(({ lost }) => lost > 0)).toEqual([true, true, false]);
    const [nothing, careful, withFunction] = scenarios;
    expect(careful?.lost).toBeLessThan((nothing?.lost ?? 0) / 2);
    expect(withFunction).toMatchObject({ hookToTagMs: expect.any(Object), tagToOutMs: expect.any(Object) });
    for (const { sent, answered, lost, lostByCause, scaleIns, answeredAfterReturn } of scenarios) {
      expect({ sent, scaleIns }).toEqual({ sent: nothing?.sent, scaleIns: 3 });
      expect(answered + lost).toBe(sent);
      expect(Object.values(lostByCause).reduce((sum, count) => sum + count, 0)).toBe(lost);
      expect(answeredAfterReturn).toBeGreaterThan(0);
      expect(svg).toContain(`${lost.toLocaleString('en')} of ${sent.toLocaleString('en')} requests lost`);
    }
    expect(await readdir(folder)).toEqual(['drain.svg']);
  });

  test('two HAProxies share the load, and none of it is lost', async () => {
    const { code, out, err } = await drain('--short', '--json', '--haproxies', '2', '--scenario', 'function');
    expect({ code, err }).toEqual({ code: 0, err: expect.stringContaining(', 2 of them') });
    expect(JSON.parse(out)).toMatchObject({ haproxies: 2, scenarios: [{ name: 'function', lost: 0 }] });
  });

  test('a function that sets no tag proves nothing', async () => {
    const source = 'exports.handler = async () => {};';
    const outcome = await runScenario('function', {
      plan: planFor(own, { short: true, heartbeatMs: 500 }),
      haproxies: 1,
      consumer: own,
      zip: zipSync({ 'index.js': new TextEncoder().encode(source) }),
      folder,
      environment: process.env,
      signal: new AbortController().signal,
      onProgress() {},
    });
    const problems = problemsOf({ plan: planFor(own, { short: true, heartbeatMs: 500 }), consumer: own }, [
      evaluate(outcome),
    ]);
    expect(problems[0]).toContain('with the function: the function set no tag on i-');
    expect(problems[1]).toMatch(/[1-9]\d* of \d+ requests lost/);
  });

  test.for([
    ['two looks at both HAProxies', { looks: 2, haproxies: 2 }, []],
    [
      'one look at both HAProxies',
      { looks: 1, haproxies: 2 },
      ['ended the wait before two looks in a row at every HAProxy found no connection to'],
    ],
    [
      'two looks at the first HAProxy alone',
      { looks: 2, haproxies: 1 },
      [
        '1 of 901 requests lost',
        'ended the wait while an HAProxy still used',
        'ended the wait before two looks in a row at every HAProxy found no connection to',
      ],
    ],
  ] as const)('a consumer that ends the wait after %s is judged', async ([, care, expected]) => {
    const consumer = endingConsumer(care);
    const plan = {
      requestsPerSecond: 100,
      servers: 4,
      heartbeatMs: 6000,
      scaleInsAt: [300, 300],
      returnAt: 6800,
      loadMs: 9000,
    };
    const outcome = await runScenario('complete', {
      ...{ plan, haproxies: 2, consumer, folder, environment: process.env },
      zip: (await bundle()).zip,
      signal: new AbortController().signal,
      onProgress() {},
    });
    const problems = problemsOf({ plan, consumer }, [evaluate(outcome)]);
    const aboutTheWait = problems.filter((problem) => /wait of|ended the wait|lost|failed/.test(problem));
    expect(aboutTheWait.map((problem) => problem.replace(/^[^:]*: (the consumer )?/, ''))).toEqual(
      expected.map((problem) => expect.stringMatching(`^${problem}`)),
    );
  });

  test('the script ends the wait for two HAProxies, and no request is lost', async () => {
    const options = ['--short', '--json', '--consumer', 'runtime-api', '--haproxies', '2', '--scenario', 'complete'];
    const { code, out, err } = await drain(...options);
    expect({ code, err }).toEqual({ code: 0, err: expect.not.stringContaining('not proved') });
    const script = expect.stringMatching(/^examples\/runtime-api\/drain-tagged-servers.sh web .*-1\/.* .*-2\/[^ ]*$/);
    const { scenarios } = JSON.parse(out);
    expect(scenarios).toEqual([expect.objectContaining({ name: 'complete', lost: 0, commands: [script] })]);
    expect(scenarios[0].waitMs.median).toBeLessThan(planFor(runtimeApi, { completes: true }).heartbeatMs);
  });

  // The whole load takes 68 s, so the timeout fails a command that goes on.
  test.for([
    ['Ctrl-C under load', 'killed', 'group', 'SIGINT', 130],
    ['SIGTERM to the command alone under load', 'killed', 'alone', 'SIGTERM', 143],
    ['SIGTERM to the command alone while everything starts', 'without anything', 'alone', 'SIGTERM', 143],
  ] as const)('%s leaves nothing behind', { timeout: 40_000 }, async ([, moment, to, signal, code]) => {
    const command = start();
    const { pid = 0 } = command;
    await output(command, moment);
    expect(await processes(pid)).not.toEqual([]);
    const [exited, errors] = [once(command, 'exit'), text(command.stderr)];
    process.kill(to === 'group' ? -pid : pid, signal);
    expect((await exited)[0]).toBe(code);
    expect(await errors).toBe('npm run drain: interrupted\n');
    await vi.waitFor(async () => expect(await processes(pid)).toEqual([]), 20_000);
    expect(await readdir(folder)).toEqual([]);
  });

  async function drain(...args: string[]) {
    const chart = join(folder, 'drain.svg');
    const { terminal, printed } = fakeTerminal();
    const code = await main([...args, '--chart', chart], process.env, terminal);
    return { code, ...printed, svg: await readFile(chart, 'utf8') };
  }

  /** Starts the command in a process group of its own, as a shell does. */
  function start() {
    const options = ['--short', '--scenario', 'nothing', '--heartbeat', '60'];
    return spawn(process.execPath, ['scripts/proof/drain.ts', ...options], {
      env: process.env,
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
  }

  /** Waits until the command has printed these words. */
  async function output({ stdout }: ReturnType<typeof start>, words: string): Promise<void> {
    let printed = '';
    stdout.setEncoding('utf8');
    while (!printed.includes(words)) {
      const [chunk] = await Promise.race([once(stdout, 'data'), once(stdout, 'end')]);
      if (chunk === undefined) throw new Error(`the command ended, having printed ${printed}`);
      printed += chunk;
    }
    stdout.resume();
  }

  /** The processes of this group, and those that name the folder. A zombie counts as ended. */
  async function processes(group: number): Promise<string[]> {
    const { stdout } = await promisify(execFile)('ps', ['-e', '-o', 'pgid=,stat=,args=']);
    return stdout
      .split('\n')
      .map((line) => line.trim())
      .filter((line) => line.startsWith(`${group} `) || line.includes(folder))
      .filter((line) => !/^\d+ +Z/.test(line));
  }
});
