// Runs the commands in the code blocks of the pages, as written. Runs on any Node.js from 20 on, because the first of
// these commands installs Node.js 24.
//
// Not run are the commands below a line that begins with "*Not run": up to the next heading, or, when the line stands
// before the first section, on the whole page. A proof but the plain `npm run drain` gets --short. A command with the
// comment "# fails" has to fail.
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';

/**
 * A block of commands in a page.
 * @typedef {{ page: string, line: number, script: string, isRun: boolean }} CommandBlock
 */

const COMMAND_LANGUAGES = ['sh', 'console'];
const OTHER_LANGUAGES = ['crontab', 'erb', 'haproxy', 'hcl', 'json', 'mermaid', 'ruby', 'text', 'yaml'];

/**
 * The command blocks of a page, in order.
 * @param {string} page the page's name
 * @param {string} markdown the page's text
 * @returns {CommandBlock[]}
 * @throws {Error} when a code block names no known language: its commands would be overlooked
 */
export function commandBlocks(page, markdown) {
  const blocks = [];
  let [pageIsRun, sectionIsRun] = [true, true];
  let isBeforeSections = true;
  /** @type {{ line: number, language: string, lines: string[] } | undefined} */
  let open;
  for (const [index, text] of markdown.split('\n').entries()) {
    const fence = /^ *```(.*)$/.exec(text);
    if (open && fence) {
      const script = scriptOf(open);
      if (script) blocks.push({ page, line: open.line, script, isRun: pageIsRun && sectionIsRun });
      open = undefined;
    } else if (open) {
      open.lines.push(text);
    } else if (fence) {
      const [, language = ''] = fence;
      if (![...COMMAND_LANGUAGES, ...OTHER_LANGUAGES].includes(language)) {
        throw new Error(
          `${page}:${index + 1}: the code block's language is "${language}"; expected one of ${[...COMMAND_LANGUAGES, ...OTHER_LANGUAGES].join(', ')}`,
        );
      }
      open = { line: index + 1, language, lines: [] };
    } else if (/^##+ /.test(text)) {
      isBeforeSections = false;
      sectionIsRun = true;
    } else if (/^ *\*Not run/.test(text)) {
      if (isBeforeSections) pageIsRun = false;
      else sectionIsRun = false;
    }
  }
  return blocks;
}

/** @param {{ language: string, lines: string[] }} block */
function scriptOf({ language, lines }) {
  if (language === 'sh') return lines.join('\n');
  if (language !== 'console') return '';
  return lines
    .filter((line) => line.startsWith('$ '))
    .map((line) => line.slice(2))
    .join('\n');
}

/** The pages of this repository, the README first. */
export function pages() {
  const listed = execFileSync('git', ['ls-files', '*.md'], { encoding: 'utf8' }).trim().split('\n');
  return ['README.md', ...listed.filter((page) => page !== 'README.md')];
}

/** @param {string} script */
export function asTheGateRuns(script) {
  return script.replace(/npm run drain -- (?!.*--short)/g, 'npm run drain -- --short ');
}

// The pages show the plain command. Here nobody answers its question, and the user may not be root.
const APT_GET = `apt-get() {
  $([ "$(id -u)" = 0 ] || echo sudo) env DEBIAN_FRONTEND=noninteractive apt-get -y -qq "$@" >/dev/null
}
`;

function runAll() {
  const blocks = pages().flatMap((page) => commandBlocks(page, readFileSync(page, 'utf8')));
  const toRun = blocks.filter(({ isRun }) => isRun);
  const done = new Set();
  for (const { page, line, script } of toRun) {
    if (done.has(script)) continue;
    done.add(script);
    const command = asTheGateRuns(script);
    console.log(`\n=== ${page}:${line}\n${command.replace(/^/gm, '$ ')}`);
    const started = Date.now();
    const { status, signal } = spawnSync('bash', ['-e', '-c', APT_GET + command], {
      stdio: ['ignore', 'inherit', 'inherit'],
    });
    console.log(`=== ${signal ?? `exit code ${status}`} after ${((Date.now() - started) / 1000).toFixed(0)} s`);
    const expectsFailure = script.includes('# fails');
    if (signal !== null || (status === 0) === expectsFailure) {
      console.error(`${page}:${line} ${expectsFailure ? 'does not fail, as its comment says' : 'failed'}`);
      process.exit(1);
    }
  }
  console.log(`\n${done.size} documented commands were run, ${blocks.length - toRun.length} are marked "not run".`);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) runAll();
