// Imported before each command, by any Node.js from 20 on: one sentence in place of a stack trace where npm ci did not run,
// or ran without the install script that brings Node.js 24, which alone reads the commands' TypeScript.
import { existsSync } from 'node:fs';

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (!existsSync(new URL('../node_modules', import.meta.url))) {
  stop('The packages that this needs are not installed: run npm ci first.');
}
if (major < 24 || (major === 24 && minor < 2)) {
  const remedy = 'run npm ci without --ignore-scripts, which installs Node.js 24 here';
  stop(`This needs Node.js 24.2 or later, and ${process.version} runs it: ${remedy}.`);
}

/** @param {string} sentence */
function stop(sentence) {
  console.error(sentence);
  process.exit(1);
}
