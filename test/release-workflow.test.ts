import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';

interface Step {
  readonly id?: string;
  readonly uses?: string;
  readonly run?: string;
  readonly with?: Readonly<Record<string, unknown>>;
  readonly env?: Readonly<Record<string, string>>;
}

interface Job {
  readonly needs?: string;
  readonly strategy?: unknown;
  readonly outputs?: unknown;
  readonly permissions?: Readonly<Record<string, string>>;
  readonly 'timeout-minutes'?: number;
  readonly steps: readonly Step[];
}

interface Workflow {
  readonly on: unknown;
  readonly permissions: unknown;
  readonly jobs: Readonly<Record<string, Job>>;
}

const folder = new URL('../.github/workflows/', import.meta.url);
const names = readdirSync(folder);
const textOf = (name: string) => readFileSync(new URL(name, folder), 'utf8');
const release: Workflow = parse(textOf('release.yml'));
const stepsOf = (job: string) => release.jobs[job]?.steps ?? [];
const expression = (text: string) => `\${{ ${text} }}`;
const scriptOf = (job: string) => stepsOf(job).flatMap(({ run }) => run ?? []);

describe.each(names)('the workflow %s', (name) => {
  const { jobs }: Workflow = parse(textOf(name));
  const steps = Object.values(jobs).flatMap((job) => job.steps);

  it('pins each action to a commit, and says which version that is', () => {
    const uses = textOf(name).match(/uses: .*/g) ?? [];
    expect(uses).toHaveLength(steps.filter((step) => step.uses).length);
    for (const line of uses) expect(line).toMatch(/^uses: [\w-]+\/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/);
  });

  it('puts no expression into a script, which could change what it does', () => {
    for (const { run = '' } of steps) expect(run).not.toContain('${{');
  });

  it('gives each job an end', () => {
    for (const job of Object.values(jobs)) expect(job['timeout-minutes']).toBeGreaterThan(0);
  });
});

describe('the workflow of a release', () => {
  it('runs for a tag of a version, and for nothing else', () => {
    expect(release.on).toEqual({ push: { tags: ['v*'] } });
  });

  it('lets only the last job write, and to no more than a release and its attestation', () => {
    expect(release.permissions).toEqual({});
    expect(Object.fromEntries(Object.entries(release.jobs).map(([name, job]) => [name, job.permissions]))).toEqual({
      gate: { contents: 'read' },
      assets: { contents: 'read' },
      publish: { contents: 'write', 'id-token': 'write', attestations: 'write' },
    });
  });

  it('runs nothing of the repository or of npm where it may write, and leaves no token where they run', () => {
    const actions = stepsOf('publish').flatMap(({ uses }) => uses?.split('@')[0] ?? []);
    expect(actions).toEqual(['actions/download-artifact', 'actions/attest-build-provenance']);
    for (const script of scriptOf('publish')) expect(script).toMatch(/^(sha256sum|gh release create) /);
    for (const job of ['gate', 'assets']) {
      const checkouts = stepsOf(job).filter(({ uses }) => uses?.startsWith('actions/checkout@'));
      expect(checkouts.map((step) => step.with)).toEqual([{ 'persist-credentials': false }]);
    }
  });

  it('passes the gate on both architectures first, and demands the same bytes of both', () => {
    expect(release.jobs.gate?.strategy).toEqual({
      matrix: {
        include: [
          { architecture: 'x64', os: 'ubuntu-24.04' },
          { architecture: 'arm64', os: 'ubuntu-24.04-arm' },
        ],
      },
    });
    expect(scriptOf('gate')[0]).toBe('bash .ci/run');
    // Each run of the matrix gives the one output that is named after it.
    expect(release.jobs.gate?.outputs).toEqual({
      x64: expression('steps.bundle.outputs.x64'),
      arm64: expression('steps.bundle.outputs.arm64'),
    });
    expect(stepsOf('gate').find(({ id }) => id === 'bundle')).toEqual({
      id: 'bundle',
      env: { ARCHITECTURE: expression('matrix.architecture') },
      run: 'echo "$ARCHITECTURE=$(sha256sum dist/function.zip | cut -d \' \' -f 1)" >> "$GITHUB_OUTPUT"',
    });
    expect(release.jobs.assets?.needs).toBe('gate');
    expect(release.jobs.publish?.needs).toBe('assets');
    expect(stepsOf('assets').find(({ run }) => run?.startsWith('npm run release'))).toEqual({
      run: 'npm run release -- "$GITHUB_REF_NAME" --same-as "$X64" --same-as "$ARM64"',
      env: { X64: expression('needs.gate.outputs.x64'), ARM64: expression('needs.gate.outputs.arm64') },
    });
  });

  it('publishes and attests all that the release consists of, with the notes', () => {
    const attest = stepsOf('publish').find(({ uses }) => uses?.startsWith('actions/attest-build-provenance@'));
    expect(attest?.with).toEqual({ 'subject-path': 'dist/release/*' });
    const create = scriptOf('publish').at(-1);
    expect(create).toContain('"$GITHUB_REF_NAME" dist/release/* --verify-tag');
    expect(create).toContain('--notes-file dist/release-notes.md');
  });
});
