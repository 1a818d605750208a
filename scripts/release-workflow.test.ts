import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';

interface Step {
  readonly uses?: string;
  readonly run?: string;
  readonly with?: Readonly<Record<string, unknown>>;
}

interface Job {
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

describe.each(names)('the workflow %s', (name) => {
  const { jobs }: Workflow = parse(textOf(name));
  const steps = Object.values(jobs).flatMap((job) => job.steps);

  it('pins each action to a commit, and says which version that is', () => {
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

  it('runs nothing of the repository or of npm where it may write', () => {
    const actions = stepsOf('publish').flatMap(({ uses }) => uses?.split('@')[0] ?? []);
    expect(actions).toEqual(['actions/download-artifact', 'actions/attest-build-provenance']);
    for (const script of stepsOf('publish').flatMap(({ run }) => run ?? []))
      expect(script).toMatch(/^(sha256sum|gh release create) /);
  });
});
