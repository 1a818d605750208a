// Runs before each command and before the tests, on Node.js 20 or later. Prints one sentence where Node.js would print a
// stack trace: packages are missing, or Node.js cannot load TypeScript.
import { existsSync } from 'node:fs';

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (!existsSync(new URL('../node_modules', import.meta.url))) {
  stop('The packages are not installed: run npm ci first.');
}
if (!existsSync(new URL('../node_modules/node', import.meta.url))) {
  stop('The development packages are not installed: run npm ci --include=dev.');
}
if (major < 24 || (major === 24 && minor < 4)) {
  const fix = 'run npm ci --ignore-scripts=false, which installs Node.js 24 here';
  stop(`Node.js 24.4 or later is needed, and this is ${process.version}: ${fix}.`);
}

/** @param {string} sentence */
function stop(sentence) {
  console.error(sentence);
  process.exit(1);
}
