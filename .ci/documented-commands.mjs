// Runs the commands in the code blocks of the pages, as written. Runs on Node.js 20 or later, because the first of these
// commands installs Node.js 24.
//
// The commands between a line that begins with "*Not run" and the next heading are not run. Before the first section,
// such a line marks the whole page. A proof with options gets --short. A command with the comment "# fails" must fail.
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';

/**
 * A block of commands in a page.
 * @typedef {{ page: string, line: number, script: string, isRun: boolean }} CommandBlock
 */

const LANGUAGES = ['sh', 'console', 'crontab', 'erb', 'haproxy', 'hcl', 'json', 'mermaid', 'ruby', 'text', 'yaml'];

/**
 * The command blocks of a page, in order.
 * @param {string} page the page's name
 * @param {string} markdown the page's text
 * @returns {CommandBlock[]}
 * @throws {Error} when a code block has an unknown language, because its commands would be missed
 */
export function commandBlocks(page, markdown) {
  /** @type {CommandBlock[]} */
  const blocks = [];
  let isPageRun = true;
  let isSectionRun = true;
  let isBeforeSections = true;
  let language = '';
  let first = 0;
  const lines = markdown.split('\n');
  for (const [index, text] of lines.entries()) {
    const fence = /^ *```(.*)$/.exec(text);
    if (language && fence) {
      const script = commandsIn(language, lines.slice(first, index));
      if (script) blocks.push({ page, line: first, script, isRun: isPageRun && isSectionRun });
      language = '';
    } else if (fence) {
      language = fence[1] ?? '';
      first = index + 1;
      if (!LANGUAGES.includes(language)) {
        const expected = LANGUAGES.join(', ');
        throw new Error(`${page}:${first}: the code block's language is "${language}"; expected one of ${expected}`);
      }
    } else if (!language && /^##+ /.test(text)) {
      isBeforeSections = false;
      isSectionRun = true;
    } else if (!language && /^ *\*Not run/.test(text)) {
      if (isBeforeSections) isPageRun = false;
      isSectionRun = false;
    }
  }
  return blocks;
}

/**
 * @param {string} language
 * @param {string[]} lines
 */
function commandsIn(language, lines) {
  if (language === 'sh') return lines.join('\n');
  if (language !== 'console') return '';
  return lines.flatMap((line) => (line.startsWith('$ ') ? [line.slice(2)] : [])).join('\n');
}

/** @param {string} script */
export function asTheGateRuns(script) {
  return script.replace(/npm run drain -- (?!.*--short)/g, 'npm run drain -- --short ');
}

/**
 * Why the gate has to stop after a command; undefined when the command ended as the page says.
 * @param {string} script
 * @param {number | null} status
 * @param {string | null} signal
 */
export function problemOf(script, status, signal) {
  const mustFail = script.includes('# fails');
  if (signal === null && (status !== 0) === mustFail) return undefined;
  const expected = mustFail ? 'an exit code other than 0' : 'exit code 0';
  return `ended with ${signal ?? `exit code ${status}`}; expected ${expected}`;
}

// The pages show the plain command. In the gate nobody answers its question, and the user may not be root.
const APT_GET = `apt-get() {
  $([ "$(id -u)" = 0 ] || echo sudo) env DEBIAN_FRONTEND=noninteractive apt-get -y -qq "$@" >/dev/null
}
`;

function runAll() {
  const pages = execFileSync('git', ['ls-files', '*.md'], { encoding: 'utf8' }).trim().split('\n');
  const blocks = ['README.md', ...pages.filter((page) => page !== 'README.md')].flatMap((page) =>
    commandBlocks(page, readFileSync(page, 'utf8')),
  );
  const scripts = new Set();
  for (const { page, line, script, isRun } of blocks) {
    if (!isRun || scripts.has(script)) continue;
    scripts.add(script);
    const command = asTheGateRuns(script);
    console.log(`\n=== ${page}:${line}\n${command.replace(/^/gm, '$ ')}`);
    const { status, signal } = spawnSync('bash', ['-e', '-c', APT_GET + command], {
      stdio: ['ignore', 'inherit', 'inherit'],
    });
    const problem = problemOf(script, status, signal);
    if (problem) {
      console.error(`${page}:${line} ${problem}`);
      process.exit(1);
    }
  }
  const skipped = blocks.filter(({ isRun }) => !isRun).length;
  console.log(`\n${scripts.size} documented commands were run, ${skipped} are marked "not run".`);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) runAll();
