import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { makeTemporaryFolder } from '../scripts/aws/temporary-folder.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const manifest: { scripts: Record<string, string> } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const commands = Object.entries(manifest.scripts).filter(([, command]) => command.includes('.ts'));

const oldNode = (process.env.PATH ?? '')
  .split(delimiter)
  .map((folder) => join(folder, 'node'))
  .find((node) => /^v2[0-3]\./.test(spawnSync(node, ['--version'], { encoding: 'utf8' }).stdout ?? ''));
// CI need not have one: what is tried with it is tried with Node.js 24 as well, but for the version itself.
if (!oldNode) console.warn('the commands are not tried with an old Node.js: there is none on the PATH');

const folder = makeTemporaryFolder('needs-node-24-');
afterAll(() => folder.remove());

/** Runs a command of package.json in a copy of the scripts, as npm does, with this Node.js. */
function run(name: string, command: string, node: string, packages: 'packages' | 'no packages') {
  const cwd = join(folder.path, `${name}-${packages}`);
  cpSync(join(root, 'scripts'), join(cwd, 'scripts'), { recursive: true });
  cpSync(join(root, 'package.json'), join(cwd, 'package.json'));
  if (packages === 'packages') mkdirSync(join(cwd, 'node_modules'), { recursive: true });
  const env = { ...process.env, PATH: [dirname(node), process.env.PATH].join(delimiter) };
  const { status, stdout, stderr } = spawnSync('sh', ['-c', command], { cwd, env, encoding: 'utf8' });
  return { status, stdout, stderr };
}

describe('each npm script that runs TypeScript', () => {
  it('is tried', () => {
    expect(commands.map(([name]) => name)).toEqual(expect.arrayContaining(['start', 'bundle', 'drain', 'bench']));
  });

  it.each(commands)('asks for npm ci in one sentence before it has run: %s', (name, command) => {
    expect(run(name, command, oldNode ?? process.execPath, 'no packages')).toEqual({
      status: 1,
      stdout: '',
      stderr: 'The packages that this needs are not installed: run npm ci first.\n',
    });
  });

  it.skipIf(!oldNode).each(commands)('says in one sentence that Node.js is too old: %s', (name, command) => {
    const version = execFileSync(oldNode ?? '', ['--version'], { encoding: 'utf8' }).trim();
    expect(run(name, command, oldNode ?? '', 'packages')).toEqual({
      status: 1,
      stdout: '',
      stderr: `This needs Node.js 24.4 or later, and ${version} runs it: run npm ci without --ignore-scripts, which installs Node.js 24 here.\n`,
    });
  });
});
