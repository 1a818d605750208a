import { spawnSync } from 'node:child_process';
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
  readonly jobs: Readonly<Record<string, { readonly permissions?: unknown; readonly steps: readonly Step[] }>>;
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

  it('runs nothing of the repository or of npm where it may write', () => {
    const actions = stepsOf('publish').flatMap(({ uses }) => uses?.split('@')[0] ?? []);
    expect(actions).toEqual(['actions/download-artifact', 'actions/attest-build-provenance']);
    for (const script of stepsOf('publish').flatMap(({ run }) => run ?? []))
      expect(script).toMatch(/^(sha256sum|gh release create) /);
  });

  const CHANGELOG = '# Changelog\n\n## [1.1.0] - 2026-11-23\n\n### Added\n\n- A.\n\n## [1.0.0] - 2026-11-22\n\n- B.\n';
  const SHA256 = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';

  /** Runs the scripts of the job `assets` up to the upload, without npm, on an empty zip. */
  async function runAssets(tag: string, changelog: string, sums: { X64: string; ARM64: string }) {
    const { path, remove } = await temporaryFolder('workflow-');
    onTestFinished(remove);
    writeFileSync(join(path, 'package.json'), '{"version":"1.1.0"}');
    writeFileSync(join(path, 'CHANGELOG.md'), changelog);
    mkdirSync(join(path, 'dist/release'), { recursive: true });
    writeFileSync(join(path, 'dist/release/function.zip'), '');
    const scripts = stepsOf('assets').flatMap(({ run = 'npm' }) => (run.startsWith('npm') ? [] : [run]));
    const env = { ...process.env, GITHUB_REF_NAME: tag, ...sums };
    const ended = spawnSync('bash', ['-e', '-c', scripts.join('\n')], { cwd: path, env });
    return { code: ended.status, notes: () => readFileSync(join(path, 'dist/release-notes.md'), 'utf8') };
  }

  it('takes its notes from the newest section of CHANGELOG.md', async () => {
    const { code, notes } = await runAssets('v1.1.0', CHANGELOG, { X64: SHA256, ARM64: SHA256 });
    expect(code).toBe(0);
    expect(notes().trim()).toBe('### Added\n\n- A.');
  });

  it.each([
    ['a tag that is not the version of package.json', 'v1.0.0', CHANGELOG, SHA256],
    ['a tag without v', '1.1.0', CHANGELOG, SHA256],
    ['a CHANGELOG.md with a newer section', 'v1.1.0', CHANGELOG.replace('1.1.0', 'Unreleased'), SHA256],
    ['a CHANGELOG.md without a section', 'v1.1.0', '# Changelog\n', SHA256],
    ['another zip on arm64', 'v1.1.0', CHANGELOG, SHA256.replace('e', 'f')],
    ['a missing SHA-256', 'v1.1.0', CHANGELOG, ''],
  ])('stops at %s', async (_, tag, changelog, ARM64) => {
    expect((await runAssets(tag, changelog, { X64: SHA256, ARM64 })).code).not.toBe(0);
  });
});
