import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { asTheGateRuns, commandBlocks } from '../.ci/documented-commands.mjs';

const PROJECT = fileURLToPath(new URL('..', import.meta.url));
const files = readdirSync(PROJECT, { recursive: true, encoding: 'utf8' }).filter(
  (file) => !/(^|[/\\])(node_modules|dist|vendor|\.git)([/\\]|$)/.test(file),
);
const pages = files.filter((file) => file.endsWith('.md'));

/** A page without its code, in which what looks like a link is none. */
function prose(page: string): string {
  return readFileSync(join(PROJECT, page), 'utf8').replace(/^ *```[\s\S]*?^ *```$|`[^`\n]*`/gm, '');
}

/** The links of a page to others and to itself. */
function linksOf(page: string): string[] {
  return [...prose(page).matchAll(/\]\(([^)\s]+)\)/g)]
    .map(([, target = '']) => target)
    .filter((target) => !/^https?:/.test(target));
}

/** The fragments to which GitHub's headings answer. */
function anchorsOf(page: string): string[] {
  const text = readFileSync(join(PROJECT, page), 'utf8').replace(/^ *```[\s\S]*?^ *```$/gm, '');
  return [...text.matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );
}

describe.each(pages)('%s', (page) => {
  it('links to what is there, headings included', () => {
    const broken = linksOf(page).filter((target) => {
      const [path = '', anchor] = target.split('#');
      const file = path === '' ? page : normalize(join(dirname(page), path));
      if (!files.includes(file.replace(/[/\\]$/, ''))) return true;
      return anchor !== undefined && !anchorsOf(file).includes(anchor);
    });
    expect(broken).toEqual([]);
  });

  it('names only commands of npm that are there', () => {
    const { scripts } = JSON.parse(readFileSync(join(PROJECT, 'package.json'), 'utf8'));
    const named = readFileSync(join(PROJECT, page), 'utf8').matchAll(/npm run (?:--silent )?([a-z][\w:]*\w)/g);
    expect([...named].map(([, name = '']) => name).filter((name) => !(name in scripts))).toEqual([]);
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

/** How many command blocks of each page the gate leaves out. Each page says why. */
const NOT_RUN = {
  'README.md': 1,
  'docs/check.md': 3,
  'docs/deploy.md': 6,
  'docs/load-balancers.md': 1,
  'docs/operate.md': 9,
  'examples/chef/README.md': 1,
  'examples/runtime-api/README.md': 2,
  'examples/script/README.md': 2,
};

it('the gate runs every command block that does not need AWS or systemd', () => {
  const blocks = pages.flatMap((page) => commandBlocks(page, readFileSync(join(PROJECT, page), 'utf8')));
  const left = Map.groupBy(
    blocks.filter(({ isRun }) => !isRun),
    ({ page }) => page,
  );
  expect(Object.fromEntries([...left].map(([page, { length }]) => [page, length]))).toEqual(NOT_RUN);
  const run = blocks.filter(({ isRun }) => isRun).map(({ script }) => script);
  expect(run.filter((script) => /^(?!npm run check).*\b(aws|systemctl)\b/m.test(script))).toEqual([]);
  expect(run.join('\n')).toMatch(/npm ci && npm start\n.*npm cit\b.*npm run drain\b.*npm run bench\b/s);
});

describe('the command blocks of a page', () => {
  const page = (...lines: string[]) => commandBlocks('page.md', lines.join('\n'));

  it('are whole shell blocks, and the lines behind a prompt', () => {
    expect(page('```sh', 'a \\', '  b', '```', 'text', '  ```console', '$ c', 'output', '$ d', '```')).toEqual([
      { page: 'page.md', line: 1, script: 'a \\\n  b', isRun: true },
      { page: 'page.md', line: 6, script: 'c\nd', isRun: true },
    ]);
  });

  it('are no blocks of another language, and no console without a prompt', () => {
    expect(page('```json', '{}', '```', '```console', 'output', '```')).toEqual([]);
  });

  it('are not run behind a mark, up to the next heading', () => {
    const block = ['```sh', 'a', '```'];
    const isRun = page('# A', '## B', ...block, '*Not run: AWS.*', ...block, '```sh', '# c', '```', '### D', ...block);
    expect(isRun.map(({ isRun }) => isRun)).toEqual([true, false, false, true]);
  });

  it('are not run on a page that begins with a mark', () => {
    const block = ['```sh', 'a', '```'];
    expect(page('# A', '*Not run: AWS.*', '## B', ...block).map(({ isRun }) => isRun)).toEqual([false]);
  });

  it('are not hidden in a block of text', () => {
    const texts = pages.flatMap((page) =>
      [...readFileSync(join(PROJECT, page), 'utf8').matchAll(/^ *```text\n([\s\S]*?)^ *```$/gm)].map(
        ([, text]) => text,
      ),
    );
    expect(texts).not.toEqual([]);
    expect(texts.filter((text) => /^ *(\$ |npm |aws )/m.test(text ?? ''))).toEqual([]);
  });

  it.each(['', 'bash'])('are in a language that is known, not in "%s"', (language) => {
    expect(() => page('', `\`\`\`${language}`)).toThrow(
      `page.md:2: the code block's language is "${language}"; expected`,
    );
  });

  it('are run as written, but for a proof with options, which is shortened', () => {
    expect(asTheGateRuns('npm run drain\nA=b npm run drain -- --haproxies 2\nnpm run drain -- --short --json')).toBe(
      'npm run drain\nA=b npm run drain -- --short --haproxies 2\nnpm run drain -- --short --json',
    );
  });
});
