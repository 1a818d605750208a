import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import { temporaryFolder } from './temporary-folder.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const read = (file: string) => JSON.parse(readFileSync(join(ROOT, file), 'utf8'));
const { scripts }: { scripts: Record<string, string> } = read('package.json');

const old = (process.env.PATH ?? '')
  .split(delimiter)
  .map((folder) => join(folder, 'node'))
  .map((node) => ({ node, version: spawnSync(node, ['--version'], { encoding: 'utf8' }).stdout?.trim() ?? '' }))
  .find(({ version }) => /^v2[0-3]\./.test(version));
if (!old) console.warn('not tested: commands on an old Node.js, because no Node.js 20 to 23 is on the PATH');
const TOO_OLD = `Node.js 24.4 or later is needed, and this is ${old?.version}:`;

const { platform, arch } = process;
const PACKAGE = `node-${platform}-${arch}`;
const NODE = `node_modules/${PACKAGE}/bin/node`;

it('each npm command checks Node.js first', () => {
  const commands = Object.values(scripts).filter((command) => command.includes('.ts'));
  expect(commands).not.toEqual([]);
  for (const command of commands) expect(command).toMatch(/^node --import \.\/scripts\/needs-node-24\.mjs scripts\//);
  for (const name of ['test', 'test:slow']) expect(scripts[name]).toMatch(/^node scripts\/needs-node-24\.mjs && /);
});

describe('npm ci', () => {
  const { packages }: { packages: Record<string, Record<string, unknown>> } = read('package-lock.json');

  it('installs the same version of Node.js 24 on each platform', () => {
    const { optionalDependencies } = read('package.json');
    const versions = Object.keys(optionalDependencies).map((name) => packages[`node_modules/${name}`]?.version);
    expect(new Set(versions)).toEqual(new Set([expect.stringMatching(/^24\./)]));
  });

  it.runIf(process.env.CI && packages[`node_modules/${PACKAGE}`])('runs the tests on this Node.js', () => {
    expect(process.version).toBe(`v${packages[`node_modules/${PACKAGE}`]?.version}`);
  });

  it('installs only packages whose content the lock file fixes', () => {
    const installed = Object.entries(packages).filter(([path, { link }]) => path.includes('node_modules/') && !link);
    expect(installed.filter(([, { integrity }]) => !String(integrity).startsWith('sha512-'))).toEqual([]);
  });

  it('runs no install script', async () => {
    const folder = await project();
    cpSync(join(ROOT, '.npmrc'), join(folder, '.npmrc'));
    writeFileSync(join(folder, 'package.json'), '{"scripts":{"install":"exit 1"}}');
    const env = { PATH: process.env.PATH, npm_config_userconfig: '/dev/null', npm_config_cache: join(folder, 'cache') };
    const { status, stderr } = spawnSync('npm', ['install', '--offline'], { cwd: folder, env, encoding: 'utf8' });
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  });
});

it.for<[situation: string, folders: string[], optional: object, stderr: string]>([
  ['npm ci was not run', [], {}, 'The packages are not installed: run npm ci first.\n'],
  [
    'npm ci left out the development packages',
    ['node_modules'],
    {},
    'The development packages are not installed: run npm ci --include=dev.\n',
  ],
  [
    'npm ci left out the optional packages',
    ['node_modules/esbuild'],
    { [PACKAGE]: '24.0.0' },
    `${TOO_OLD} run npm ci --include=optional, which installs Node.js 24 here.\n`,
  ],
  [
    'npm has no Node.js 24 for the platform',
    ['node_modules/esbuild'],
    { 'node-other-x64': '24.0.0' },
    `${TOO_OLD} install Node.js 24, because npm ci has none for ${platform} on ${arch}.\n`,
  ],
  [
    'Node.js 24 does not start',
    ['node_modules/esbuild', NODE],
    {},
    expect.stringMatching(/^Node\.js 24 does not start: spawn .*node EACCES\.\n$/),
  ],
])('says how to go on when %s', async ([, folders, optionalDependencies, stderr], { skip }) => {
  skip(folders.includes('node_modules/esbuild') && !old);
  const folder = await project();
  for (const name of folders) mkdirSync(join(folder, name), { recursive: true });
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ optionalDependencies }));
  expect(run('sh', ['-c', scripts.start ?? ''], folder)).toEqual({ code: 1, stdout: '', stderr });
});

describe.skipIf(!old)('an old Node.js', () => {
  it('starts the command again on the installed Node.js 24, which is also first on the PATH', async () => {
    const folder = await projectWithNode(`
      import { execFileSync } from 'node:child_process';
      const version: string = process.version;
      console.log(version, \`\${execFileSync('node', ['--version'])}\`.trim(), ...process.argv.slice(2));
      process.exit(7);
    `);
    const ended = run('sh', ['-c', `${scripts.start} --port 'a b'`], folder);
    expect(ended).toEqual({ code: 7, stdout: `${process.version} ${process.version} --port a b\n`, stderr: '' });
  });

  it('waits for the end of the command after SIGINT, and passes SIGTERM on', async () => {
    const folder = await projectWithNode(`
      process.on('SIGTERM', () => process.exit(3));
      setInterval(() => {}, 1000);
      console.log('ready');
    `);
    const command = `exec ${scripts.start}`;
    const child = spawn('sh', ['-c', command], { cwd: folder, env: oldFirst(), stdio: ['ignore', 'pipe', 'inherit'] });
    const exit = once(child, 'exit');
    await once(child.stdout, 'data');
    child.kill('SIGINT');
    child.kill('SIGTERM');
    expect(await exit).toEqual([3, null]);
  });

  // In a project of one test: without its arguments, vitest would run this file again and again.
  it('runs vitest on Node.js 24', async () => {
    const folder = await projectWithNode('');
    cpSync(join(ROOT, 'vitest.config.ts'), join(folder, 'vitest.config.ts'));
    symlinkSync(join(ROOT, 'node_modules/vitest'), join(folder, 'node_modules/vitest'));
    mkdirSync(join(folder, 'test/helpers'), { recursive: true });
    writeFileSync(join(folder, 'test/helpers/environment.ts'), '');
    writeFileSync(join(folder, 'test/one.test.ts'), "import { it } from 'vitest'; it('runs', () => {});");
    const ended = run(join(ROOT, 'node_modules/.bin/vitest'), ['list', '--project', 'fast', '--json'], folder);
    expect(ended).toMatchObject({ code: 0, stdout: expect.stringContaining('"runs"'), stderr: '' });
  });
});

/** A folder with the script that checks Node.js. */
async function project(): Promise<string> {
  const { path, remove } = await temporaryFolder('needs-node-24-');
  onTestFinished(remove);
  cpSync(join(ROOT, 'scripts/needs-node-24.mjs'), join(path, 'scripts/needs-node-24.mjs'));
  return path;
}

/** A project with all packages, whose `npm start` runs the program. */
async function projectWithNode(program: string): Promise<string> {
  const folder = await project();
  mkdirSync(join(folder, 'node_modules/esbuild'), { recursive: true });
  mkdirSync(dirname(join(folder, NODE)), { recursive: true });
  symlinkSync(process.execPath, join(folder, NODE));
  writeFileSync(join(folder, 'package.json'), '{"type":"module"}');
  writeFileSync(join(folder, 'scripts/start.ts'), program);
  return folder;
}

/** The environment with the old Node.js first on the PATH, if there is one. */
function oldFirst(): NodeJS.ProcessEnv {
  return { ...process.env, PATH: [dirname(old?.node ?? process.execPath), process.env.PATH].join(delimiter) };
}

function run(program: string, args: readonly string[], cwd: string) {
  const { status, stdout, stderr } = spawnSync(program, args, { cwd, encoding: 'utf8', env: oldFirst() });
  return { code: status, stdout, stderr };
}
