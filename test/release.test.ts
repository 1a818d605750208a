import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  appendFileSync,
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { makeTemporaryFolder } from '../scripts/aws/temporary-folder.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const folder = makeTemporaryFolder('release-');
const project = join(folder.path, 'project');
const assets = join(project, 'dist/release');
afterAll(() => folder.remove());

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

/** Runs a program in the copy of the project, with no settings of the user's own. */
function run(program: string, args: string[], environment: Record<string, string> = {}) {
  const env = { ...process.env, GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_SYSTEM: '/dev/null', NO_COLOR: '1' };
  return spawnSync(program, args, { cwd: project, encoding: 'utf8', env: { ...env, ...environment } });
}

function git(...args: string[]) {
  const { status, stderr } = run('git', ['-c', 'user.name=A', '-c', 'user.email=a@example.com', ...args]);
  expect({ status, stderr }).toMatchObject({ status: 0 });
}

function release(args: string[], environment: Record<string, string> = {}) {
  const { status, stdout, stderr } = run(process.execPath, ['scripts/release.ts', ...args], environment);
  return { code: status, out: stdout, err: stderr };
}

/** Edits the copy's package.json and CHANGELOG.md until the next test. */
function setVersions(manifest: string, changelog: string) {
  const file = join(project, 'package.json');
  writeFileSync(file, JSON.stringify({ ...JSON.parse(readFileSync(file, 'utf8')), version: manifest }));
  writeFileSync(join(project, 'CHANGELOG.md'), changelog);
}

const sha256 = (file: string) => createHash('sha256').update(readFileSync(file)).digest('hex');

beforeAll(() => {
  mkdirSync(project);
  for (const name of ['src', 'scripts', 'docs', 'template.yaml', 'README.md', 'LICENSE', 'package.json']) {
    cpSync(join(root, name), join(project, name), { recursive: true });
  }
  cpSync(join(root, 'esbuild.config.mjs'), join(project, 'esbuild.config.mjs'));
  symlinkSync(join(root, 'node_modules'), join(project, 'node_modules'));
  writeFileSync(join(project, '.gitignore'), 'node_modules\ndist/\nvendor/\n');
  mkdirSync(join(project, 'examples/script/vendor'), { recursive: true });
  writeFileSync(join(project, 'examples/script/reload.sh'), '#!/bin/sh\n', { mode: 0o700 });
  writeFileSync(join(project, 'examples/script/vendor/gem.rb'), '');
  setVersions('1.1.0', CHANGELOG);
  git('init', '-q');
  git('add', '.');
  git('commit', '-q', '-m', 'All');
});

afterEach(() => git('checkout', '-q', '--force', 'HEAD'));

describe('npm run release', () => {
  it('makes an archive with the zip where the template expects it, and nothing that is not committed', () => {
    expect(release(['v1.1.0'])).toMatchObject({ code: 0, err: '' });
    expect(readdirSync(assets).sort()).toEqual(['SHA256SUMS', 'function.zip', 'remove-from-lb-1.1.0.tar.gz']);
    expect(run('tar', ['-xzf', 'dist/release/remove-from-lb-1.1.0.tar.gz', '-C', folder.path]).status).toBe(0);
    const unpacked = join(folder.path, 'remove-from-lb-1.1.0');
    const codeUri = /CodeUri: (.*)/.exec(readFileSync(join(unpacked, 'template.yaml'), 'utf8'))?.[1] ?? '';
    expect(sha256(join(unpacked, codeUri))).toBe(sha256(join(assets, 'function.zip')));
    expect(readdirSync(unpacked).sort()).toEqual(
      ['CHANGELOG.md', 'LICENSE', 'README.md', 'dist', 'docs', 'examples', 'template.yaml'].sort(),
    );
    expect(readdirSync(join(unpacked, 'examples/script'))).toEqual(['reload.sh']);
    expect(statSync(join(unpacked, 'examples/script/reload.sh')).mode & 0o777).toBe(0o755);
    expect(statSync(join(unpacked, codeUri)).mode & 0o777).toBe(0o644);
  });

  it('names the SHA-256 of both in the form that sha256sum reads', () => {
    const names = ['function.zip', 'remove-from-lb-1.1.0.tar.gz'];
    const sums = names.map((name) => `${sha256(join(assets, name))}  ${name}\n`).join('');
    expect(readFileSync(join(assets, 'SHA256SUMS'), 'utf8')).toBe(sums);
  });

  it('cuts the notes of this version out of the changelog', () => {
    expect(readFileSync(join(project, 'dist/release-notes.md'), 'utf8')).toBe(
      '### Added\n\n- A release that deploys without Node.js.\n\n### Fixed\n\n- This and that.\n',
    );
  });

  it('makes the same bytes at another time, with other settings of git, and leaves nothing of an earlier release', () => {
    const before = readFileSync(join(assets, 'SHA256SUMS'), 'utf8');
    writeFileSync(join(assets, 'remove-from-lb-1.0.0.tar.gz'), '');
    for (const name of ['LICENSE', 'docs', 'template.yaml']) utimesSync(join(project, name), 1, 1);
    const config = join(folder.path, 'gitconfig');
    writeFileSync(config, '[tar]\numask = 0077\n[core]\nautocrlf = true\n');
    expect(release(['v1.1.0'], { GIT_CONFIG_GLOBAL: config, TZ: 'Asia/Tokyo' })).toMatchObject({ code: 0 });
    expect(readFileSync(join(assets, 'SHA256SUMS'), 'utf8')).toBe(before);
    expect(readdirSync(assets)).toHaveLength(3);
  });

  it("goes on when another machine's function.zip is the same, and not when one differs", () => {
    const same = sha256(join(assets, 'function.zip'));
    const other = createHash('sha256').digest('hex');
    rmSync(assets, { recursive: true });
    const { code, err } = release(['v1.1.0', '--same-as', same, '--same-as', other]);
    expect({ code, err }).toEqual({
      code: 1,
      err: `npm run release: function.zip has the SHA-256 ${same} here; expected ${other}, as another machine made it\n`,
    });
    expect(() => readdirSync(assets)).toThrow('ENOENT');
    expect(release(['v1.1.0', '--same-as', same, '--same-as', same])).toMatchObject({ code: 0, err: '' });
  });

  it('refuses a SHA-256 of another machine that is missing', () => {
    const { code, err } = release(['v1.1.0', '--same-as', '']);
    expect({ code, err }).toEqual({
      code: 1,
      err: 'npm run release: --same-as is ""; expected 64 hexadecimal digits\n',
    });
  });

  it.each([
    ['v1.1.1', '1.1.0', CHANGELOG, `package.json's version is "1.1.0", CHANGELOG.md's newest heading is "1.1.0"`],
    ['v1.1.0', '1.0.0', CHANGELOG, 'package.json\'s version is "1.0.0"'],
    ['v1.1.0', '1.1.0', CHANGELOG.replace('1.1.0', 'Unreleased'), 'CHANGELOG.md\'s newest heading is "Unreleased"'],
    ['v1.1.0', '1.1.0', '# Changelog\n', "CHANGELOG.md's newest heading is absent"],
  ])('says what is of another version than the tag %s, and makes nothing', (tag, manifest, changelog, wrong) => {
    rmSync(assets, { recursive: true, force: true });
    setVersions(manifest, changelog);
    const { code, err } = release([tag]);
    expect({ code, err }).toEqual({
      code: 1,
      err: `npm run release: ${wrong}; expected "${tag.slice(1)}", as the tag ${tag} says\n`,
    });
    expect(() => readdirSync(assets)).toThrow('ENOENT');
  });

  it.each(['1.1.0', 'v1.1', 'v1.1.0-rc1', 'main'])('refuses the tag %s', (tag) => {
    const { code, err } = release([tag]);
    expect({ code, err }).toEqual({
      code: 1,
      err: `npm run release: the tag is "${tag}"; expected one such as v1.1.0\n`,
    });
  });

  it('refuses to pack what differs from the commit', () => {
    appendFileSync(join(project, 'src/handler.ts'), '\n');
    writeFileSync(join(project, 'examples/new.sh'), '');
    const { code, err } = release(['v1.1.0']);
    rmSync(join(project, 'examples/new.sh'));
    expect(code).toBe(1);
    expect(err).toMatch(/^npm run release: these files are not as committed; commit or remove them:\n/);
    expect(err).toContain(' M src/handler.ts\n');
    expect(err).toContain('?? examples/new.sh\n');
  });

  it('asks for exactly one tag, and helps', () => {
    for (const tags of [[], ['v1.1.0', 'v1.0.0']]) {
      const { code, err } = release(tags);
      expect(code).toBe(1);
      expect(err).toMatch(/^npm run release: expected one tag\nnpm run release -- TAG/);
    }
    expect(release(['--help'])).toMatchObject({
      code: 0,
      err: '',
      out: expect.stringMatching(/^npm run release -- TAG/),
    });
  });
});
