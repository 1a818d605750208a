import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { asTheGateRuns, commandBlocks, problemOf } from '../.ci/documented-commands.mjs';

const PROJECT = fileURLToPath(new URL('..', import.meta.url));
const files = readdirSync(PROJECT, { recursive: true, encoding: 'utf8' }).filter(
  (file) => !/(^|[/\\])(node_modules|dist|vendor|\.git)([/\\]|$)/.test(file),
);
const pages = files.filter((file) => file.endsWith('.md'));

const textOf = (page: string) => readFileSync(join(PROJECT, page), 'utf8');
const withoutBlocks = (text: string) => text.replace(/^ *```[\s\S]*?^ *```$/gm, '');

/** The links of a page to other pages and to itself. */
function linksOf(page: string): string[] {
  const prose = withoutBlocks(textOf(page)).replace(/`[^`\n]*`/g, '');
  const targets = [...prose.matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = '']) => target);
  return targets.filter((target) => !/^https?:/.test(target));
}

/** The fragments that GitHub gives to the headings of a page. */
function anchorsOf(page: string): string[] {
  return [...withoutBlocks(textOf(page)).matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );
}

describe.each(pages)('%s', (page) => {
  it('links to files and headings that exist', () => {
    const broken = linksOf(page).filter((target) => {
      const [path = '', anchor] = target.split('#');
      const file = path === '' ? page : normalize(join(dirname(page), path));
      if (!files.includes(file.replace(/[/\\]$/, ''))) return true;
      return anchor !== undefined && !anchorsOf(file).includes(anchor);
    });
    expect(broken).toEqual([]);
  });

  it('names npm commands that exist', () => {
    const { scripts } = JSON.parse(textOf('package.json'));
    const named = textOf(page).matchAll(/npm run (?:--silent )?([a-z][\w:]*\w)/g);
    expect([...named].map(([, name = '']) => name).filter((name) => !(name in scripts))).toEqual([]);
  });

  it('hides no command in a block of text', () => {
    const texts = [...textOf(page).matchAll(/^ *```text\n([\s\S]*?)^ *```$/gm)].map(([, text = '']) => text);
    expect(texts.filter((text) => /^ *(\$ |npm |aws )/m.test(text))).toEqual([]);
  });
});

it('the README leads to every page', () => {
  const reached = new Set(['README.md']);
  for (const page of reached) {
    for (const target of linksOf(page)) {
      const file = normalize(join(dirname(page), target.split('#', 1)[0] ?? ''));
      // A folder shows its README.
      for (const shown of [file, join(file, 'README.md')]) if (pages.includes(shown)) reached.add(shown);
    }
  }
  expect([...reached].sort()).toEqual(pages.toSorted());
});

describe('the gate', () => {
  const blocks = pages.flatMap((page) => commandBlocks(page, textOf(page)));
  const scripts = (isRun: boolean) => blocks.filter((block) => block.isRun === isRun).map(({ script }) => script);

  it('runs the main commands', () => {
    expect(scripts(true).join('\n')).toMatch(/npm ci && npm start\n.*npm cit\b.*npm run drain\b.*npm run bench\b/s);
  });

  it('runs no command that needs AWS or systemd', () => {
    expect(scripts(true).filter((script) => /^(?!npm run check).*\b(aws|systemctl)\b/m.test(script))).toEqual([]);
  });

  it('leaves out no npm command that needs neither', () => {
    const needsAws = /\baws\b|npm run (--silent )?check/;
    expect(scripts(false).filter((script) => /\bnpm\b/.test(script) && !needsAws.test(script))).toEqual([]);
  });
});

it.each([
  ['npm test', 0, null, undefined],
  ['npm test', 1, null, 'ended with exit code 1; expected exit code 0'],
  ['npm test', null, 'SIGTERM', 'ended with SIGTERM; expected exit code 0'],
  ['npm test # fails', 1, null, undefined],
  ['npm test # fails', 0, null, 'ended with exit code 0; expected an exit code other than 0'],
])('the gate judges %j, which ends with %j or %j', (script, status, signal, problem) => {
  expect(problemOf(script, status, signal)).toBe(problem);
});

describe('the command blocks of a page', () => {
  const page = (...lines: string[]) => commandBlocks('page.md', lines.join('\n'));
  const block = ['```sh', 'a', '```'];

  it('are whole shell blocks, and the lines after a prompt', () => {
    expect(page('```sh', 'a \\', '  b', '```', 'text', '  ```console', '$ c', 'output', '$ d', '```')).toEqual([
      { page: 'page.md', line: 1, script: 'a \\\n  b', isRun: true },
      { page: 'page.md', line: 6, script: 'c\nd', isRun: true },
    ]);
  });

  it('do not include other languages, nor a console without a prompt', () => {
    expect(page('```json', '{}', '```', '```console', 'output', '```')).toEqual([]);
  });

  it('are not run below a mark, up to the next heading', () => {
    const isRun = page('# A', '## B', ...block, '*Not run: AWS.*', ...block, '```sh', '# c', '```', '### D', ...block);
    expect(isRun.map(({ isRun }) => isRun)).toEqual([true, false, false, true]);
  });

  it('are not run on a page that begins with a mark', () => {
    expect(page('# A', '*Not run: AWS.*', '## B', ...block).map(({ isRun }) => isRun)).toEqual([false]);
  });

  it.each(['', 'bash'])('must name a known language, not "%s"', (language) => {
    expect(() => page('', `\`\`\`${language}`)).toThrow(
      `page.md:2: the code block's language is "${language}"; expected`,
    );
  });

  it('run as written, but a proof with options is shortened', () => {
    expect(asTheGateRuns('npm run drain\nA=b npm run drain -- --haproxies 2\nnpm run drain -- --short --json')).toBe(
      'npm run drain\nA=b npm run drain -- --short --haproxies 2\nnpm run drain -- --short --json',
    );
  });
});
