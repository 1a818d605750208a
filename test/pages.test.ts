import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

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
    const named = readFileSync(join(PROJECT, page), 'utf8').matchAll(/npm run (?:--silent )?([a-z]\w*)/g);
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
