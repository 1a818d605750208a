import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it as test, vi } from 'vitest';
import { fakeTerminal } from '../test/helpers/terminal.ts';
import { bundle } from './bundle.ts';
import { main } from './release.ts';
import { temporaryFolder } from './temporary-folder.ts';

const ARCHIVE = 'remove-from-lb-1.1.0.tar.gz';

const it = test
  .extend('folder', async ({ onTestFinished }) => {
    const folder = await temporaryFolder('release-');
    onTestFinished(folder.remove);
    return folder.path;
  })
  /** A project with one commit. */
  .extend('project', ({ folder }) => {
    // The user's own settings of git do not apply.
    vi.stubEnv('GIT_CONFIG_GLOBAL', '/dev/null');
    vi.stubEnv('GIT_CONFIG_SYSTEM', '/dev/null');
    const project = join(folder, 'project');
    mkdirSync(join(project, 'src'), { recursive: true });
    writeFileSync(join(project, 'package.json'), '{"version":"1.1.0"}\n');
    writeFileSync(join(project, '.gitignore'), 'dist/\nnode_modules/\n');
    writeFileSync(join(project, 'src/script.sh'), '', { mode: 0o700 });
    mkdirSync(join(project, 'node_modules'));
    writeFileSync(join(project, 'node_modules/ignored'), '');
    const git = (...args: string[]) => execFileSync('git', args, { cwd: project });
    git('init', '-q');
    git('add', '.');
    git('-c', 'user.name=A', '-c', 'user.email=a@example.com', 'commit', '-q', '-m', 'All');
    return project;
  })
  .extend('release', ({ project }) => async (signal?: AbortSignal) => {
    const { terminal, printed } = fakeTerminal(signal);
    await main([], {}, terminal, project);
    return printed.out;
  })
  /** Every file in the folder dist of the project. */
  .extend('dist', ({ project }) => () => {
    const folder = join(project, 'dist');
    const files = readdirSync(folder, { recursive: true, encoding: 'utf8' });
    return Object.fromEntries(
      files.map((file) => [file, statSync(join(folder, file)).isFile() && sha256(join(folder, file))]),
    );
  });

function sha256(file: string): string {
  return createHash('sha256').update(readFileSync(file)).digest('hex');
}

it('makes the zip, the archive and their checksums, and prints the checksums', async ({ project, release, dist }) => {
  const out = await release();
  const folder = join(project, 'dist/release');
  expect(readFileSync(join(folder, 'function.zip'))).toEqual(Buffer.from((await bundle()).zip));
  const sums = ['function.zip', ARCHIVE].map((name) => `${sha256(join(folder, name))}  ${name}\n`).join('');
  expect(readFileSync(join(folder, 'SHA256SUMS'), 'utf8')).toBe(sums);
  expect(out).toBe(`dist/release/SHA256SUMS\n${sums}`);
  expect(Object.keys(dist()).sort()).toEqual(
    ['release', 'release/SHA256SUMS', 'release/function.zip', `release/${ARCHIVE}`].sort(),
  );
});

it('packs every file of the commit, and the zip where the template expects it', async ({
  folder,
  project,
  release,
}) => {
  await release();
  execFileSync('tar', ['-xzf', join(project, 'dist/release', ARCHIVE), '-C', folder]);
  const unpacked = join(folder, 'remove-from-lb-1.1.0');
  const files = readdirSync(unpacked, { recursive: true, encoding: 'utf8' });
  expect(files.sort()).toEqual(['.gitignore', 'dist', 'dist/function.zip', 'package.json', 'src', 'src/script.sh']);
  expect(sha256(join(unpacked, 'dist/function.zip'))).toBe(sha256(join(project, 'dist/release/function.zip')));
  const mode = (file: string) => (statSync(join(unpacked, file)).mode & 0o777).toString(8);
  expect([mode('dist/function.zip'), mode('package.json'), mode('src/script.sh')]).toEqual(['644', '644', '755']);
});

it('makes the same bytes at another time and with other settings of git, and leaves no older file', async ({
  dist,
  folder,
  onTestFinished,
  project,
  release,
}) => {
  await release();
  const before = dist();
  writeFileSync(join(project, 'dist/release/remove-from-lb-1.0.0.tar.gz'), '');
  utimesSync(join(project, 'package.json'), 1, 1);
  writeFileSync(join(folder, 'gitconfig'), '[tar]\numask = 0077\n[core]\nautocrlf = true\n');
  vi.stubEnv('GIT_CONFIG_GLOBAL', join(folder, 'gitconfig'));
  vi.useFakeTimers({ toFake: ['Date'], now: 0 });
  onTestFinished(() => void vi.useRealTimers());
  await release();
  expect(dist()).toEqual(before);
});

it('leaves the last release as it was when a file differs from the commit', async ({ dist, project, release }) => {
  await release();
  const before = dist();
  writeFileSync(join(project, 'src/script.sh'), 'changed');
  writeFileSync(join(project, 'new.sh'), '');
  await expect(release()).rejects.toThrow(
    'these files differ from the commit; commit or remove them:\n M src/script.sh\n?? new.sh\n',
  );
  expect(dist()).toEqual(before);
});

it('leaves the last release as it was when it is interrupted', async ({ dist, project, release }) => {
  await release();
  writeFileSync(join(project, 'dist/release/older'), '');
  const before = dist();
  await expect(release(AbortSignal.abort(new Error('interrupted')))).rejects.toThrow('interrupted');
  expect(dist()).toEqual(before);
});
