import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { parse } from 'yaml';
import { temporaryFolder } from './temporary-folder.ts';

interface Step {
  readonly name?: string;
  readonly uses?: string;
  readonly run?: string;
  readonly with?: Readonly<Record<string, unknown>>;
}

interface Workflow {
  readonly permissions: unknown;
  readonly jobs: Readonly<Record<string, Job>>;
}

interface Job {
  readonly needs?: string;
  readonly environment?: string;
  readonly permissions?: unknown;
  readonly steps: readonly Step[];
}

const folder = new URL('../.github/workflows/', import.meta.url);
const names = readdirSync(folder);
const textOf = (name: string) => readFileSync(new URL(name, folder), 'utf8');
const release: Workflow = parse(textOf('release.yml'));
const stepsOf = (job: string) => release.jobs[job]?.steps ?? [];

describe.each(names)('the workflow %s', (name) => {
  const { jobs }: Workflow = parse(textOf(name));
  const steps = Object.values(jobs).flatMap((job) => job.steps);

  it('pins each action to a commit, and names its version', () => {
    const uses = textOf(name).match(/uses: .*/g) ?? [];
    expect(uses).toHaveLength(steps.filter((step) => step.uses).length);
    for (const line of uses) expect(line).toMatch(/^uses: [\w-]+\/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/);
  });

  it('puts no expression into a script, because its text could change the script', () => {
    for (const { run = '' } of steps) expect(run).not.toContain('${{');
  });

  it('leaves no token in a checkout', () => {
    const checkouts = steps.filter(({ uses }) => uses?.startsWith('actions/checkout@'));
    expect(checkouts).not.toEqual([]);
    for (const checkout of checkouts) expect(checkout.with).toMatchObject({ 'persist-credentials': false });
  });

  it('runs the gate', () => {
    expect(jobs.gate?.steps).toContainEqual({ run: 'bash .ci/run' });
  });

  it('skips nothing, and goes on after no error', () => {
    for (const step of [...Object.values(jobs), ...steps]) expect(Object.keys(step)).not.toContain('if');
    expect(textOf(name)).not.toContain('continue-on-error');
  });
});

describe('the release', () => {
  it('lets only the last job write, and only a release and its attestation', () => {
    expect(release.permissions).toEqual({});
    expect(Object.entries(release.jobs).map(([name, { permissions }]) => [name, permissions])).toEqual([
      ['gate', { contents: 'read' }],
      ['assets', { contents: 'read' }],
      ['publish', { contents: 'write', 'id-token': 'write', attestations: 'write' }],
    ]);
  });

  it('waits for the gate, then for the approval of the environment', () => {
    expect(Object.entries(release.jobs).map(([name, { needs, environment }]) => [name, needs, environment])).toEqual([
      ['gate', undefined, undefined],
      ['assets', 'gate', undefined],
      ['publish', 'assets', 'release'],
    ]);
  });

  it('runs nothing of npm before it knows the commit', () => {
    const scripts = stepsOf('assets').flatMap(({ run = '' }) => run.match(/^git|^npm/)?.[0] ?? []);
    expect(scripts).toEqual(['git', 'npm']);
  });

  it('runs nothing of the repository or of npm where it may write', () => {
    const actions = stepsOf('publish').flatMap(({ uses }) => uses?.split('@')[0] ?? []);
    expect(actions).toEqual(['actions/download-artifact', 'actions/attest-build-provenance']);
    for (const script of stepsOf('publish').flatMap(({ run }) => run ?? []))
      expect(script).toMatch(/^(sha256sum|gh release create) /);
  });

  const CHANGELOG = '# Changelog\n\n## [1.1.0] - 2026-11-23\n\n### Added\n\n- A.\n\n## [1.0.0] - 2026-11-22\n\n- B.\n';
  const SHA256 = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';

  interface Push {
    readonly tag?: string;
    readonly commit?: 'newest' | 'older' | 'beside';
    readonly changelog?: string;
    readonly X64?: string;
    readonly ARM64?: string;
  }

  /** Runs the scripts of the job `assets` up to the upload, without npm, on an empty zip. */
  async function runAssets(push: Push) {
    const { tag = 'v1.1.0', commit = 'newest', changelog = CHANGELOG, X64 = SHA256, ARM64 = SHA256 } = push;
    const { path, remove } = await temporaryFolder('workflow-');
    onTestFinished(remove);
    const env = { ...process.env, GIT_CONFIG_GLOBAL: '/dev/null', GITHUB_REF_NAME: tag, X64, ARM64 };
    const git = (cwd: string, ...args: string[]) =>
      execFileSync('git', ['-c', 'user.name=A', '-c', 'user.email=a@example.com', ...args], {
        cwd,
        env,
        stdio: 'pipe',
      });

    const origin = join(path, 'origin');
    mkdirSync(origin);
    git(origin, 'init', '--initial-branch=main');
    writeFileSync(join(origin, 'package.json'), '{"version":"1.1.0"}');
    writeFileSync(join(origin, 'CHANGELOG.md'), changelog);
    git(origin, 'add', '.');
    for (const name of ['older', 'newest', 'beside']) {
      if (name === 'beside') git(origin, 'switch', '--create', 'branch');
      git(origin, 'commit', '--allow-empty', '--message', name);
      git(origin, 'tag', name);
    }
    git(origin, 'tag', tag, commit);

    const checkout = stepsOf('assets').find(({ uses }) => uses?.startsWith('actions/checkout@'));
    const depth = checkout?.with?.['fetch-depth'] === 0 ? [] : ['--depth=1'];
    git(path, 'clone', ...depth, '--branch', tag, `file://${origin}`, 'checkout');
    const cwd = join(path, 'checkout');
    mkdirSync(join(cwd, 'dist/release'), { recursive: true });
    writeFileSync(join(cwd, 'dist/release/function.zip'), '');

    const scripts = stepsOf('assets').flatMap(({ run = 'npm' }) => (run.startsWith('npm') ? [] : [run]));
    const ended = spawnSync('bash', ['-e', '-c', scripts.join('\n')], { cwd, env });
    return { code: ended.status, notes: () => readFileSync(join(cwd, 'dist/release-notes.md'), 'utf8') };
  }

  it.each(['newest', 'older'] as const)(
    'takes its notes from the newest section of CHANGELOG.md, on the %s commit of main',
    async (commit) => {
      const { code, notes } = await runAssets({ commit });
      expect(code).toBe(0);
      expect(notes().trim()).toBe('### Added\n\n- A.');
    },
  );

  it.each<[fault: string, push: Push]>([
    ['a commit that is not on main', { commit: 'beside' }],
    ['a tag that is not the version of package.json', { tag: 'v1.0.0' }],
    ['a tag without v', { tag: '1.1.0' }],
    ['a CHANGELOG.md with a newer section', { changelog: CHANGELOG.replace('1.1.0', 'Unreleased') }],
    ['a CHANGELOG.md without a section', { changelog: '# Changelog\n' }],
    ['another zip on arm64', { ARM64: SHA256.replace('e', 'f') }],
    ['a missing SHA-256', { ARM64: '' }],
  ])('stops at %s', async (_, push) => {
    expect((await runAssets(push)).code).not.toBe(0);
  });
});
