import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { temporaryFolder } from '../scripts/temporary-folder.ts';
import { TEMPLATE } from './stack.ts';

const page = readFileSync(new URL('../docs/deploy.md', import.meta.url), 'utf8');
const folder = await temporaryFolder('deploy-page-');
afterAll(() => folder.remove());

describe('the page on how to deploy', () => {
  it.each(Object.entries(TEMPLATE.Parameters))('has the parameter %s, with its default', (name, { Default = '' }) => {
    const [, , held = 'no such row'] = new RegExp(`^\\| \`${name}\` (\\|([^|]*))\\|`, 'm').exec(page) ?? [];
    expect(held.trim().replaceAll('`', '')).toBe(String(Default));
  });

  it('has a policy for whoever deploys that is JSON', () => {
    const policy = JSON.parse(/```json\n(.*?)```/s.exec(page)?.[1] ?? '');
    expect(policy.Statement.length).toBeGreaterThan(0);
  });
});

describe('the shell function output of that page', () => {
  const definition = /```sh\n(output\(\) \{.*?\n\}\n)```/s.exec(page)?.[1] ?? '';
  const programs = join(folder.path, 'programs');
  mkdirSync(programs);

  /** Runs a script that begins with the function, where the AWS CLI does this. */
  function run(script: string, aws: string) {
    writeFileSync(join(programs, 'aws'), `#!/bin/sh\n${aws}\n`, { mode: 0o755 });
    const env = { PATH: `${programs}:${process.env.PATH}` };
    const { stdout, stderr, status } = spawnSync('sh', ['-c', definition + script], { env, encoding: 'utf8' });
    return { stdout, stderr, status };
  }

  it('prints what the stack has', () => {
    const aws = `case "$*" in *"remove-from-lb"*"OutputKey=='TopicArn'"*) echo arn:topic ;; esac`;
    expect(run('TOPIC=$(output TopicArn) && echo "$TOPIC"', aws)).toEqual({
      stdout: 'arn:topic\n',
      stderr: '',
      status: 0,
    });
  });

  it.each(['', 'echo None'])('fails and says so where the AWS CLI finds none and does "%s"', (aws) => {
    expect(run('TOPIC=$(output TopicArn) && echo "went on"', aws)).toEqual({
      stdout: '',
      stderr: 'the stack has no output TopicArn\n',
      status: 1,
    });
  });

  it('fails as the AWS CLI does', () => {
    expect(run('TOPIC=$(output TopicArn) && echo "went on"', 'echo "no such stack" >&2; exit 255')).toEqual({
      stdout: '',
      stderr: 'no such stack\n',
      status: 255,
    });
  });
});
