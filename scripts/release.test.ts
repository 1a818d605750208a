import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  appendFileSync,
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { fakeTerminal } from '../test/helpers/terminal.ts';
import { bundle } from './bundle.ts';
import { demandSame, main, makeRelease } from './release.ts';
import { temporaryFolder } from './temporary-folder.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const ZIP = Buffer.from('a bundled function');
const CHANGELOG = `# Changelog

All notable changes.

## [1.1.0] - 2026-11-23

### Added

- A release that deploys without Node.js.

### Fixed

- This and that.

## [1.0.0] - 2026-11-22

### Added

- The function.
`;
// The user's own settings of git do not apply.
const ENVIRONMENT = { ...process.env, GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_SYSTEM: '/dev/null', NO_COLOR: '1' };

const folder = await temporaryFolder('release-');
afterAll(folder.remove);
const project = join(folder.path, 'project');
const assets = join(project, 'dist/release');

async function run(program: string, ...args: string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(program, args, { cwd: project, env: ENVIRONMENT });
  return stdout;
}

function git(...args: string[]): Promise<string> {
  return run('git', '-c', 'user.name=A', '-c', 'user.email=a@example.com', ...args);
}

/** Releases the copy of the project with another function, which takes no time to bundle. */
function release(tag = 'v1.1.0', environment: NodeJS.ProcessEnv = ENVIRONMENT, signal = new AbortController().signal) {
  return makeRelease({ root: project, tag, zip: ZIP, environment, signal });
}

/** Every file of the last release, and whatever else is in dist. */
function dist(): Record<string, string> {
  const files = readdirSync(join(project, 'dist'), { recursive: true, encoding: 'utf8' });
  return Object.fromEntries(
    files
      .filter((file) => statSync(join(project, 'dist', file)).isFile())
      .map((file) => [file, sha256(readFileSync(join(project, 'dist', file)))]),
  );
}

function setVersions(manifest: string, changelog: string): void {
  const file = join(project, 'package.json');
  writeFileSync(file, JSON.stringify({ ...JSON.parse(readFileSync(file, 'utf8')), version: manifest }));
  writeFileSync(join(project, 'CHANGELOG.md'), changelog);
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

beforeAll(async () => {
  const left = /(^|[/\\])(node_modules|dist|vendor|\.git)$/;
  cpSync(ROOT, project, { recursive: true, filter: (source) => !left.test(source.slice(ROOT.length)) });
  symlinkSync(join(ROOT, 'node_modules'), join(project, 'node_modules'));
  appendFileSync(join(project, '.gitignore'), 'node_modules\n');
  mkdirSync(join(project, 'examples/chef/vendor'), { recursive: true });
  writeFileSync(join(project, 'examples/chef/vendor/gem.rb'), '');
  chmodSync(join(project, 'examples/script/update-haproxy.sh'), 0o700);
  setVersions('1.1.0', CHANGELOG);
  await git('init', '-q');
  await git('add', '.');
  await git('commit', '-q', '-m', 'All');
  await release();
});

describe('npm run release', () => {
  it('bundles the function, and prints the checksums of what it made', async () => {
    const { zip } = await bundle();
    const out = await run(process.execPath, 'scripts/release.ts', 'v1.1.0', '--same-as', sha256(zip));
    expect(out).toBe(`dist/release/SHA256SUMS\n${readFileSync(join(assets, 'SHA256SUMS'), 'utf8')}\n`);
    expect(sha256(readFileSync(join(assets, 'function.zip')))).toBe(sha256(zip));
    await release();
  });

  describe('makes an archive', () => {
    let unpacked: string;
    beforeAll(async () => {
      await run('tar', '-xzf', join(assets, 'remove-from-lb-1.1.0.tar.gz'), '-C', folder.path);
      unpacked = join(folder.path, 'remove-from-lb-1.1.0');
    });
    const inArchive = () => readdirSync(unpacked, { recursive: true, encoding: 'utf8' });

    it('with the zip where the template expects it', () => {
      const codeUri = /CodeUri: (.*)/.exec(readFileSync(join(unpacked, 'template.yaml'), 'utf8'))?.[1] ?? '';
      expect(readFileSync(join(unpacked, codeUri))).toEqual(ZIP);
      expect(statSync(join(unpacked, codeUri)).mode & 0o777).toBe(0o644);
    });

    it('with every file of the commit, and no other file but the zip', async () => {
      const committed = (await git('ls-files')).trim().split('\n');
      const files = inArchive().filter((file) => statSync(join(unpacked, file)).isFile());
      expect(files.sort()).toEqual([...committed, 'dist/function.zip'].sort());
      expect(statSync(join(unpacked, 'examples/script/update-haproxy.sh')).mode & 0o777).toBe(0o755);
    });

    it('whose pages link only to its files', () => {
      const pages = inArchive().filter((file) => file.endsWith('.md'));
      expect(pages).toContain('README.md');
      const links = pages.flatMap((page) =>
        [...readFileSync(join(unpacked, page), 'utf8').matchAll(/\]\((?!https?:|#)([^)\s#]+)/g)].map(
          ([, target = '']) => join(dirname(page), target),
        ),
      );
      expect(links).toContain('CONTRIBUTING.md');
      expect(links.filter((file) => !existsSync(join(unpacked, file)))).toEqual([]);
    });

    it('whose pages name only commands of npm that it has', () => {
      const { scripts } = JSON.parse(readFileSync(join(unpacked, 'package.json'), 'utf8'));
      const pages = inArchive().filter((file) => file.endsWith('.md'));
      const named = pages.flatMap((page) => [
        ...readFileSync(join(unpacked, page), 'utf8').matchAll(/npm run (?:--silent )?([a-z][\w:]*)/g),
      ]);
      expect(Object.keys(scripts)).toEqual(expect.arrayContaining(named.map(([, name]) => name)));
      expect(existsSync(join(unpacked, 'package-lock.json'))).toBe(true);
    });
  });

  it('names the SHA-256 of both in the form that sha256sum reads', () => {
    const names = ['function.zip', 'remove-from-lb-1.1.0.tar.gz'];
    const sums = names.map((name) => `${sha256(readFileSync(join(assets, name)))}  ${name}\n`).join('');
    expect(readFileSync(join(assets, 'SHA256SUMS'), 'utf8')).toBe(sums);
    expect(readdirSync(assets).sort()).toEqual(['SHA256SUMS', ...names]);
  });

  it('cuts the notes of this version out of the changelog', () => {
    expect(readFileSync(join(project, 'dist/release-notes.md'), 'utf8')).toBe(
      '### Added\n\n- A release that deploys without Node.js.\n\n### Fixed\n\n- This and that.\n',
    );
  });

  it('makes the same bytes at another time, with other settings of git, and leaves nothing of an earlier release', async () => {
    const before = dist();
    writeFileSync(join(assets, 'remove-from-lb-1.0.0.tar.gz'), '');
    for (const name of ['LICENSE', 'docs', 'template.yaml']) utimesSync(join(project, name), 1, 1);
    const config = join(folder.path, 'gitconfig');
    writeFileSync(config, '[tar]\numask = 0077\n[core]\nautocrlf = true\n');
    await release('v1.1.0', { ...ENVIRONMENT, GIT_CONFIG_GLOBAL: config, TZ: 'Asia/Tokyo' });
    expect(dist()).toEqual(before);
  });

  describe('leaves the last release whole, and nothing else,', () => {
    it('when a file differs from the commit', async () => {
      const before = dist();
      appendFileSync(join(project, 'src/handler.ts'), '\n');
      writeFileSync(join(project, 'examples/new.sh'), '');
      try {
        await expect(release()).rejects.toThrow(
          'these files are not as committed; commit or remove them:\n M src/handler.ts\n?? examples/new.sh\n',
        );
      } finally {
        rmSync(join(project, 'examples/new.sh'));
        await git('checkout', '-q', '--force', 'HEAD');
      }
      expect(dist()).toEqual(before);
      expect(readdirSync(join(project, 'dist')).sort()).toEqual(['release', 'release-notes.md']);
    });

    it('when it is interrupted', async () => {
      const before = dist();
      const bin = join(folder.path, 'bin');
      const started = join(folder.path, 'started');
      mkdirSync(bin);
      writeFileSync(join(bin, 'git'), '#!/bin/sh\n[ "$1" = status ] || { touch "$STARTED"; exec sleep 600; }\n', {
        mode: 0o755,
      });
      const PATH = [bin, process.env.PATH].join(delimiter);
      const interruption = new AbortController();
      const made = release('v1.1.0', { ...ENVIRONMENT, PATH, STARTED: started }, interruption.signal);
      await vi.waitFor(() => expect(existsSync(started)).toBe(true), { timeout: 30_000 });
      expect(readdirSync(join(project, 'dist'))).toHaveLength(3);
      interruption.abort();
      await expect(made).rejects.toThrow('The operation was aborted');
      expect(dist()).toEqual(before);
      expect(readdirSync(join(project, 'dist')).sort()).toEqual(['release', 'release-notes.md']);
    });
  });

  it.each([
    ['v1.1.1', '1.1.0', CHANGELOG, 'the tag is "v1.1.1"; expected "v1.1.0", as package.json says'],
    ['1.1.0', '1.1.0', CHANGELOG, 'the tag is "1.1.0"; expected "v1.1.0", as package.json says'],
    ['main', '1.1.0', CHANGELOG, 'the tag is "main"; expected "v1.1.0", as package.json says'],
    ['v1.1.0', '1.0.0', CHANGELOG, 'the tag is "v1.1.0"; expected "v1.0.0", as package.json says'],
    [
      'v1.2.0',
      '1.2.0',
      CHANGELOG,
      'CHANGELOG.md\'s newest heading is "[1.1.0] - 2026-11-23"; expected "[1.2.0]", as package.json says',
    ],
    [
      'v1.1.0',
      '1.1.0',
      CHANGELOG.replace('1.1.0', 'Unreleased'),
      'CHANGELOG.md\'s newest heading is "[Unreleased] - 2026-11-23"; expected "[1.1.0]", as package.json says',
    ],
    [
      'v1.1.0',
      '1.1.0',
      '# Changelog\n',
      'CHANGELOG.md\'s newest heading is ""; expected "[1.1.0]", as package.json says',
    ],
  ])('refuses the tag %s of version %s', async (tag, manifest, changelog, message) => {
    const before = dist();
    setVersions(manifest, changelog);
    try {
      await expect(release(tag)).rejects.toThrow(message);
    } finally {
      await git('checkout', '-q', '--force', 'HEAD');
    }
    expect(dist()).toEqual(before);
  });

  it("goes on when another machine's function.zip is the same, and stops when it differs or is missing", () => {
    expect(() => demandSame(ZIP, sha256(ZIP))).not.toThrow();
    const other = sha256(Buffer.from('another function'));
    expect(() => demandSame(ZIP, other)).toThrow(
      `function.zip has the SHA-256 ${sha256(ZIP)} here; expected ${other}, as another machine made it`,
    );
    expect(() => demandSame(ZIP, '')).toThrow('--same-as is ""; expected 64 hexadecimal digits');
  });

  it.each([
    [[], 'there are 0 tags; expected one'],
    [['v1.1.0', 'v1.0.0'], 'there are 2 tags; expected one'],
    [['v1.1.0', '--fast'], "Unknown option '--fast'; npm run release -- --help lists the options"],
    [['v1.1.0', '--same-as', 'x'], '--same-as is "x"; expected 64 hexadecimal digits'],
  ])('refuses the arguments %j', async (args, message) => {
    await expect(main(args, {}, fakeTerminal().terminal)).rejects.toThrow(message);
  });

  it('lists its options', async () => {
    const { terminal, printed } = fakeTerminal();
    expect(await main(['--help'], {}, terminal)).toBe(0);
    expect(printed.out).toMatch(/^npm run release -- TAG/);
  });
});
