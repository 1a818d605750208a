// Runs before each command and before the tests, on Node.js 20 or later. Prints one sentence where Node.js would print a
// stack trace: packages are missing, or Node.js cannot load TypeScript.
//
// On an old Node.js, starts the command again on the Node.js 24 that npm ci installed. npm 11 puts that Node.js on the PATH.
// npm 10 deletes node_modules/.bin/node, because the lock file has the same link for other platforms.
import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { delimiter, dirname } from 'node:path';
import { fileURLToPath } from 'node:url';

const { arch, platform, version, versions } = process;
const [major = 0, minor = 0] = versions.node.split('.').map(Number);
if (!existsSync(fromRoot('node_modules'))) stop('The packages are not installed: run npm ci first.');
if (!existsSync(fromRoot('node_modules/esbuild'))) {
  stop('The development packages are not installed: run npm ci --include=dev.');
}
if (major < 24 || (major === 24 && minor < 4)) await startAgain();

/** Ends this process when the command has ended on Node.js 24. */
async function startAgain() {
  const name = `node-${platform.replace('win32', 'win')}-${arch}`;
  const node = fromRoot(`node_modules/${name}/bin/node${platform === 'win32' ? '.exe' : ''}`);
  if (!existsSync(node)) {
    const { optionalDependencies } = JSON.parse(readFileSync(fromRoot('package.json'), 'utf8'));
    const fix =
      name in optionalDependencies
        ? 'run npm ci --include=optional, which installs Node.js 24 here'
        : `install Node.js 24, because npm ci has none for ${platform} on ${arch}`;
    stop(`Node.js 24.4 or later is needed, and this is ${version}: ${fix}.`);
  }
  const env = { ...process.env, PATH: [dirname(node), process.env.PATH].join(delimiter) };
  const child = spawn(node, process.argv.slice(1), { stdio: 'inherit', env });
  // A terminal sends SIGINT to both processes.
  process.on('SIGINT', () => {});
  process.on('SIGTERM', () => child.kill('SIGTERM'));
  await new Promise((_, reject) => {
    child.on('error', reject);
    child.on('exit', (code) => process.exit(code ?? 1));
  }).catch(({ message }) => stop(`Node.js 24 does not start: ${message}.`));
}

/** @param {string} path */
function fromRoot(path) {
  return fileURLToPath(new URL(`../${path}`, import.meta.url));
}

/** @param {string} sentence */
function stop(sentence) {
  console.error(sentence);
  process.exit(1);
}
