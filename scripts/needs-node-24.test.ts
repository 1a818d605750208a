import { execFile, spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it, onTestFinished } from 'vitest';
import { temporaryFolder } from './temporary-folder.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const { scripts }: { scripts: Record<string, string> } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
const commands = Object.values(scripts).filter((command) => command.includes('.ts'));

const old = (process.env.PATH ?? '')
  .split(delimiter)
  .map((folder) => join(folder, 'node'))
  .map((node) => ({ node, version: spawnSync(node, ['--version'], { encoding: 'utf8' }).stdout?.trim() ?? '' }))
  .find(({ version }) => /^v2[0-3]\./.test(version));
if (!old) console.warn('what an old Node.js says is not tested: there is no Node.js 20 to 23 on the PATH');
const tooOld = `Node.js 24.4 or later is needed, and this is ${old?.version}: run npm ci --ignore-scripts=false, which installs Node.js 24 here.\n`;

it('each npm command looks at Node.js first', () => {
  expect(commands).not.toEqual([]);
  for (const command of commands) expect(command).toMatch(/^node --import \.\/scripts\/needs-node-24\.mjs scripts\//);
  for (const name of ['test', 'test:slow']) expect(scripts[name]).toMatch(/^node scripts\/needs-node-24\.mjs && /);
});

it('asks for npm ci before it has run', async () => {
  expect(await start([])).toEqual(failure('The packages are not installed: run npm ci first.\n'));
});

it('asks for the development packages when npm ci left them out', async () => {
  const expected = failure('The development packages are not installed: run npm ci --include=dev.\n');
  expect(await start(['node_modules'])).toEqual(expected);
});

it.skipIf(!old)('says that Node.js is too old when npm ci could not install another one', async () => {
  expect(await start(['node_modules/node'])).toEqual(failure(tooOld));
});

it.skipIf(!old)('vitest refuses to run on an old Node.js', async () => {
  const refusal = await run(join(ROOT, 'node_modules/.bin/vitest'), ['run', '--project', 'fast', 'no-such-test'], ROOT);
  expect(refusal).toEqual(failure(tooOld));
});

/** Runs `npm start` in a folder that has no more than the given folders. */
async function start(folders: readonly string[]) {
  const { path, remove } = await temporaryFolder('needs-node-24-');
  onTestFinished(remove);
  for (const folder of folders) mkdirSync(join(path, folder), { recursive: true });
  cpSync(join(ROOT, 'scripts/needs-node-24.mjs'), join(path, 'scripts/needs-node-24.mjs'));
  return run('sh', ['-c', scripts.start ?? ''], path);
}

/** Runs a program with the old Node.js if there is one. */
function run(program: string, args: readonly string[], cwd: string) {
  const PATH = [dirname(old?.node ?? process.execPath), process.env.PATH].join(delimiter);
  return new Promise((resolve) => {
    execFile(program, args, { cwd, env: { ...process.env, PATH } }, (error, stdout, stderr) =>
      resolve({ code: error?.code ?? 0, stdout, stderr }),
    );
  });
}

function failure(stderr: string) {
  return { code: 1, stdout: '', stderr };
}
