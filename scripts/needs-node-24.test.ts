import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it, onTestFinished } from 'vitest';
import { temporaryFolder } from './temporary-folder.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const { scripts }: { scripts: Record<string, string> } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));

const old = (process.env.PATH ?? '')
  .split(delimiter)
  .map((folder) => join(folder, 'node'))
  .map((node) => ({ node, version: spawnSync(node, ['--version'], { encoding: 'utf8' }).stdout?.trim() ?? '' }))
  .find(({ version }) => /^v2[0-3]\./.test(version));
if (!old) console.warn('not tested: the message on an old Node.js, because no Node.js 20 to 23 is on the PATH');
const TOO_OLD = `Node.js 24.4 or later is needed, and this is ${old?.version}: run npm ci --ignore-scripts=false, which installs Node.js 24 here.\n`;

it('each npm command checks Node.js first', () => {
  const commands = Object.values(scripts).filter((command) => command.includes('.ts'));
  expect(commands).not.toEqual([]);
  for (const command of commands) expect(command).toMatch(/^node --import \.\/scripts\/needs-node-24\.mjs scripts\//);
  for (const name of ['test', 'test:slow']) expect(scripts[name]).toMatch(/^node scripts\/needs-node-24\.mjs && /);
});

it.for<[situation: string, folders: string[], stderr: string]>([
  ['npm ci was not run', [], 'The packages are not installed: run npm ci first.\n'],
  [
    'npm ci left out the development packages',
    ['node_modules'],
    'The development packages are not installed: run npm ci --include=dev.\n',
  ],
  ['npm ci could not install Node.js 24', ['node_modules/node'], TOO_OLD],
])('says how to go on when %s', async ([, folders, stderr], { skip }) => {
  skip(stderr === TOO_OLD && !old);
  const { path, remove } = await temporaryFolder('needs-node-24-');
  onTestFinished(remove);
  for (const folder of folders) mkdirSync(join(path, folder), { recursive: true });
  cpSync(join(ROOT, 'scripts/needs-node-24.mjs'), join(path, 'scripts/needs-node-24.mjs'));
  expect(run('sh', ['-c', scripts.start ?? ''], path)).toEqual({ code: 1, stdout: '', stderr });
});

it.skipIf(!old)('vitest refuses to run on an old Node.js', () => {
  const vitest = join(ROOT, 'node_modules/.bin/vitest');
  const ended = run(vitest, ['run', '--project', 'fast', 'no-such-test'], ROOT);
  expect(ended).toEqual({ code: 1, stdout: '', stderr: TOO_OLD });
});

/** Runs a program with the old Node.js, if there is one. */
function run(program: string, args: readonly string[], cwd: string) {
  const PATH = [dirname(old?.node ?? process.execPath), process.env.PATH].join(delimiter);
  const { status, stdout, stderr } = spawnSync(program, args, { cwd, encoding: 'utf8', env: { ...process.env, PATH } });
  return { code: status, stdout, stderr };
}
