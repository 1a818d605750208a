import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { temporaryFolder } from '../scripts/temporary-folder.ts';
import { policiesOf, roleMay, serviceMay } from '../test/helpers/policy.ts';
import { deploy, TEMPLATE, TEMPLATE_TEXT } from '../test/helpers/stack.ts';

const page = readFileSync(new URL('deploy.md', import.meta.url), 'utf8');
const folder = await temporaryFolder('deploy-page-');
afterAll(() => folder.remove());

describe('the page on deployment', () => {
  it.each(Object.entries(TEMPLATE.Parameters))('has the parameter %s, with its default', (name, { Default = '' }) => {
    const [, , actual = 'no such row'] = new RegExp(`^\\| \`${name}\` (\\|([^|]*))\\|`, 'm').exec(page) ?? [];
    expect(actual.trim().replaceAll('`', '')).toBe(String(Default));
  });

  it('has Terraform replace the line of the template that names the zip', () => {
    const [, line = ''] = /replace\(file\("template.yaml"\), "([^"]+)"/.exec(page) ?? [];
    expect(TEMPLATE_TEXT.split(line)).toHaveLength(2);
    expect(TEMPLATE_TEXT).toContain(`\n      ${line}\n`);
  });

  it('has a policy for the deployer that is JSON', () => {
    const policy = JSON.parse(/```json\n(.*?)```/s.exec(page)?.[1] ?? '');
    expect(policy.Statement.length).toBeGreaterThan(0);
  });
});

describe('the statements for the keys of encrypted topics', () => {
  const blocks = [...page.matchAll(/```json\n(\[.*?)```/gs)].map(([, text = '']) => JSON.parse(text));
  const policy = { Version: '2012-10-17', Statement: blocks.flat() };
  const key = 'arn:aws:kms:us-west-2:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab';
  const TopicArn = 'arn:aws:sns:us-west-2:123456789012:existing';
  const hookRole = policiesOf(deploy({ TopicArn, TopicKeyArn: key }), 'HookRole');

  it.each(['kms:GenerateDataKey', 'kms:Decrypt'])('let the hook role and CloudWatch call %s', async (action) => {
    const call = { action, resource: key };
    const hook = (role: string) => roleMay(hookRole, call, { resourcePolicy: policy, role });
    expect(await hook('remove-from-lb-HookRole-1A2B')).toBe(true);
    expect(await hook('another-role')).toBe(false);
    expect(await serviceMay('cloudwatch.amazonaws.com', policy, call)).toBe(true);
    expect(await serviceMay('events.amazonaws.com', policy, call)).toBe(false);
  });
});

describe('the shell function output of the page on how to operate', () => {
  const operate = readFileSync(new URL('operate.md', import.meta.url), 'utf8');
  const definition = /^output\(\) \{\n.*?^\}\n/ms.exec(operate)?.[0] ?? '';
  const programs = join(folder.path, 'programs');
  mkdirSync(programs);

  /** Runs a script after the definition of the function, with a stub of the AWS CLI. */
  function run(script: string, aws: string) {
    writeFileSync(join(programs, 'aws'), `#!/bin/sh\n${aws}\n`, { mode: 0o755 });
    const env = { PATH: `${programs}:${process.env.PATH}`, STACK: 'drain' };
    const { stdout, stderr, status } = spawnSync('sh', ['-c', definition + script], { env, encoding: 'utf8' });
    return { stdout, stderr, status };
  }

  it('prints the output of the stack', () => {
    const aws = `case "$*" in *"--stack-name drain"*"OutputKey=='TopicArn'"*) echo arn:topic ;; esac`;
    expect(run('TOPIC=$(output TopicArn) && echo "$TOPIC"', aws)).toEqual({
      stdout: 'arn:topic\n',
      stderr: '',
      status: 0,
    });
  });

  it.each([
    ['prints nothing', '', ''],
    ['prints None', 'echo None', ''],
    ['fails', 'echo "no such stack" >&2; exit 255', 'no such stack\n'],
  ])('fails and says so where the AWS CLI %s', (_, aws, message) => {
    expect(run('TOPIC=$(output TopicArn) && echo "went on"', aws)).toEqual({
      stdout: '',
      stderr: `${message}no output TopicArn of the stack drain\n`,
      status: 1,
    });
  });
});
