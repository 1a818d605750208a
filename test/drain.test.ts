import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { zipSync } from 'fflate';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import type { Report } from '../scripts/drain/figures.ts';
import { haproxyVersion } from '../scripts/drain/haproxy.ts';

const { version, missing } = await haproxyVersion().then(
  (version) => ({ version, missing: undefined }),
  (error: Error) => ({ version: undefined, missing: error.message }),
);
// In CI it has to be there: the tests run, and fail without it.
const skipped = missing !== undefined && !process.env.CI;
if (skipped) console.warn(`the proof is not run: ${missing}`);

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'drain-test-'));
});
afterAll(() => rm(folder, { recursive: true }));

describe.skipIf(skipped)('npm run drain', { timeout: 120_000 }, () => {
  test('no request is lost with the function, and some are without it', async () => {
    const chart = join(folder, 'drain.svg');
    const { code, stdout, stderr } = await drain('--short', '--json', '--chart', chart);
    expect({ code, stderr }).toEqual({ code: 0, stderr: expect.not.stringContaining('not proved') });
    const { scenarios, ...about } = JSON.parse(stdout) as Report;
    expect(about).toEqual({ consumer: 'own', consumerVersion: 'part of the proof', haproxy: version, haproxies: 1 });
    expect(scenarios.map(({ name }) => name)).toEqual(['nothing', 'careful', 'function']);
    expect(scenarios.map(({ lost }) => lost > 0)).toEqual([true, true, false]);
    const [nothing, careful, withFunction] = scenarios;
    expect(careful?.lost).toBeLessThan((nothing?.lost ?? 0) / 2);
    expect([withFunction?.hookToTagMs?.longest, withFunction?.tagToOutMs?.longest]).toEqual([
      expect.any(Number),
      expect.any(Number),
    ]);
    for (const { sent, answered, lost, lostByCause, scaleIns, answeredAfterReturn } of scenarios) {
      expect({ sent, scaleIns }).toEqual({ sent: scenarios[0]?.sent, scaleIns: 3 });
      expect(answered + lost).toBe(sent);
      expect(Object.values(lostByCause).reduce((sum, count) => sum + count)).toBe(lost);
      expect(answeredAfterReturn).toBeGreaterThan(0);
    }
    const svg = await readFile(chart, 'utf8');
    for (const { lost, sent } of scenarios) {
      expect(svg).toContain(`${lost.toLocaleString('en')} of ${sent.toLocaleString('en')} requests lost`);
    }
    expect(svg).toContain('first tagged, then taken out of HAProxy, and only then killed');
    // Viewers that know no style sheets show the attributes.
    expect(svg).not.toContain('var(');
    const shapes = svg.match(/<(?:rect|circle|path|text)[^>]*class=[^>]*>/g) ?? [];
    expect(shapes.filter((shape) => !/ fill="(#[0-9a-f]{6}|none)"/.test(shape))).toEqual([]);
  });

  test('two HAProxies share the load, and none of it is lost', async () => {
    const options = ['--haproxies', '2', '--scenario', 'function'];
    const { code, stdout, stderr } = await drain('--short', '--json', ...options);
    expect({ code, stderr }).toEqual({ code: 0, stderr: expect.stringContaining(', 2 of them') });
    expect(JSON.parse(stdout)).toMatchObject({ haproxies: 2, scenarios: [{ name: 'function', lost: 0 }] });
  });

  test('a waiting time shorter than the consumer needs loses requests, and the broken rule is named', async () => {
    const { code, stderr } = await drain('--short', '--scenario', 'function', '--heartbeat', '0.7');
    expect(stderr).toContain("heartbeat timeout too short for the consumer's interval and run");
    expect(stderr).toMatch(/[1-9]\d* of \d+ requests lost/);
    expect(code).toBe(1);
  });

  test.concurrent('a function that sets no tag fails the run', async () => {
    const { code, stderr } = await drainWithFunction('async () => {}', '--heartbeat', '0.5');
    expect(stderr).toContain('the function set no tag on i-');
    expect(code).toBe(1);
  });

  test.concurrent('a function that fails is named', async () => {
    const { code, stderr } = await drainWithFunction(
      "async () => { throw new Error('out of order') }",
      '--heartbeat',
      '0.5',
    );
    expect(stderr).toContain('the function failed: Error: out of order');
    expect(code).toBe(1);
  });

  test.concurrent('a function that is too late is distinguished from a consumer that is', async () => {
    const late = `async ({ Records: [{ Sns }] }) => {
      await new Promise((resolve) => setTimeout(resolve, 1000));
      const tag = 'ResourceId.1=' + JSON.parse(Sns.Message).EC2InstanceId + '&Tag.1.Key=remove_from_lb&Tag.1.Value=yes';
      await fetch(process.env.AWS_ENDPOINT_URL, { method: 'POST', body: 'Action=CreateTags&' + tag });
    }`;
    const { code, stderr } = await drainWithFunction(late, '--heartbeat', '0.5');
    expect(stderr).toContain('heartbeat timeout too short for the delivery of the message and its retries');
    expect(code).toBe(1);
  });

  test.for([
    ['Ctrl-C while the function is bundled', 'heartbeat timeout', 'group', 'SIGINT', 130],
    ['Ctrl-C while everything starts', 'without anything', 'group', 'SIGINT', 130],
    ['Ctrl-C under load', 'killed', 'group', 'SIGINT', 130],
    ['a signal to the script alone', 'killed', 'alone', 'SIGTERM', 143],
    ['the script being killed', 'killed', 'alone', 'SIGKILL', null],
  ] as const)('%s leaves nothing behind', async ([, moment, to, signal, code]) => {
    const temporary = await mkdtemp(join(folder, 'tmp-'));
    const script = start(['--short'], { ...process.env, TMPDIR: temporary });
    const { pid = 0 } = script;
    await output(script, moment);
    expect(await processes(pid, temporary)).not.toEqual([]);
    const exited = once(script, 'exit');
    process.kill(to === 'group' ? -pid : pid, signal);
    expect((await exited)[0]).toBe(code);
    await vi.waitFor(async () => expect(await processes(pid, temporary)).toEqual([]), 20_000);
    await vi.waitFor(async () => expect(await readdir(temporary)).toEqual([]), 20_000);
  });
});

test('without HAProxy it says how to get it', async () => {
  const { code, stderr } = await ended(start([], { ...process.env, PATH: folder }));
  expect(stderr).toContain('haproxy cannot be run; install it (Debian, Ubuntu: apt-get install haproxy');
  expect(code).toBe(1);
});

test.for([
  ['--heartbeat long', '--heartbeat is "long"; expected seconds, more than 0 and at most 60'],
  ['--heartbeat 0', '--heartbeat is "0"; expected seconds, more than 0 and at most 60'],
  ['--scenario none', '--scenario is "none"; expected one of nothing, careful, function'],
  ['--consumer none', '--consumer is "none"; expected one of own'],
  ['--haproxies 0', '--haproxies is "0"; expected a number from 1 to 4'],
  ['--haproxies 1.5', '--haproxies is "1.5"; expected a number from 1 to 4'],
  ['--zip README.md', '--zip is "README.md"; expected a zip file with the function in index.js'],
  ['--zip missing.zip', "'missing.zip'"],
  ['--quick', "Unknown option '--quick'"],
] as const)('%s is refused', async ([options, reason]) => {
  const { code, stdout, stderr } = await drain(...options.split(' '));
  expect(stderr).toContain(reason);
  expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
});

test('--help names every option', async () => {
  const { code, stdout } = await drain('--help');
  expect(code).toBe(0);
  for (const option of ['consumer', 'haproxies', 'short', 'scenario', 'heartbeat', 'zip', 'chart', 'json']) {
    expect(stdout).toContain(`--${option} `);
  }
});

/** In a process group of its own, as a shell starts it. */
function start(args: readonly string[], env: NodeJS.ProcessEnv = process.env) {
  return spawn(process.execPath, ['scripts/drain.ts', ...args], {
    env,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

async function ended(script: ReturnType<typeof start>) {
  const [[code], stdout, stderr] = await Promise.all([once(script, 'exit'), text(script.stdout), text(script.stderr)]);
  return { code, stdout, stderr };
}

function drain(...args: string[]) {
  return ended(
    start(args.includes('--chart') ? args : [...args, '--chart', join(folder, `${crypto.randomUUID()}.svg`)]),
  );
}

async function drainWithFunction(handler: string, ...args: string[]) {
  const zip = join(folder, `${crypto.randomUUID()}.zip`);
  await writeFile(zip, zipSync({ 'index.js': new TextEncoder().encode(`exports.handler = ${handler};`) }));
  return drain('--short', '--scenario', 'function', '--zip', zip, ...args);
}

/** Waits until the script has printed this. */
async function output(script: ReturnType<typeof start>, words: string): Promise<void> {
  script.stderr.resume();
  await new Promise<void>((resolve, reject) => {
    let printed = '';
    script.stdout.on('data', (chunk) => {
      printed += chunk;
      if (printed.includes(words)) resolve();
    });
    script.once('exit', () => reject(new Error(`the script ended, having printed ${printed}`)));
  });
}

/** The processes of this group, and those that name this folder; a process that only waits to be reaped is none. */
async function processes(group: number, temporary: string): Promise<string[]> {
  const { stdout } = await promisify(execFile)('ps', ['-e', '-o', 'pgid=,stat=,args=']);
  return stdout
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line.startsWith(`${group} `) || line.includes(temporary))
    .filter((line) => !/^\d+ +Z/.test(line));
}
