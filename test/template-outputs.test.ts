import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { expect, it } from 'vitest';
import { temporaryFolder } from '../scripts/temporary-folder.ts';
import { deploy } from './helpers/stack.ts';

const stack = deploy({ TagKey: 'lb/drain=1', TagValue: 'now' });

/** Evaluates a command of the outputs with an `aws` that prints `answer`; returns the arguments of each call of `aws`. */
async function run(output: string, answer = ''): Promise<string[][]> {
  await using folder = await temporaryFolder('outputs-');
  const calls = join(folder.path, 'calls');
  const aws = `#!/bin/sh\n(printf '%s\\n' "$@"; echo) >> '${calls}'\nprintf '%b' '${answer}'\n`;
  writeFileSync(join(folder.path, 'aws'), aws, { mode: 0o755 });
  const PATH = `${folder.path}${delimiter}${process.env.PATH}`;
  const env = { PATH, INSTANCE: 'i-05629ab7d9287e205', COMMAND: String(stack.outputs[output]) };
  execFileSync('sh', ['-eu', '-c', 'eval "$COMMAND"'], { env });
  const text = readFileSync(calls, 'utf8').trimEnd();
  return text.split('\n\n').map((call) => call.split('\n'));
}

it('the outputs hold the names that the commands of the pages need', () => {
  expect(stack.outputs).toMatchObject({
    TopicArn: 'Topic',
    HookRoleArn: 'HookRole.Arn',
    FunctionName: 'Function',
    LogGroupName: 'LogGroup',
    FailureQueueUrl: 'FailureQueue',
  });
});

it.each([
  ['SetTagCommand', 'create-tags'],
  ['ClearTagCommand', 'delete-tags'],
])('%s has the tag of the parameters, with its value', async (output, operation) => {
  const [call = [], ...others] = await run(output);
  expect(others).toEqual([]);
  expect(call.slice(0, -1).join(' ')).toBe(
    `ec2 ${operation} --region us-west-2 --output text --resources i-05629ab7d9287e205 --tags`,
  );
  expect(JSON.parse(call.at(-1) ?? '')).toEqual([{ Key: 'lb/drain=1', Value: 'now' }]);
});

it('ListTaggedInServiceCommand asks which tagged instances are in service, fifty at a time as Auto Scaling demands', async () => {
  const ids = Array.from({ length: 51 }, (_, index) => `i-${String(index).padStart(17, '0')}`);
  const [tags = [], ...states] = await run('ListTaggedInServiceCommand', `${ids.join('\\t')}\\n`);
  expect(JSON.parse(tags[tags.indexOf('--filters') + 1] ?? '')).toEqual([
    { Name: 'resource-type', Values: ['instance'] },
    { Name: 'key', Values: ['lb/drain=1'] },
    { Name: 'value', Values: ['now'] },
  ]);
  const question = 'autoscaling describe-auto-scaling-instances --region us-west-2 --output text --query';
  for (const call of states)
    expect(call.join(' ')).toContain(`${question} AutoScalingInstances[?LifecycleState=='InService']`);
  const asked = states.map((call) => call.slice(call.indexOf('--instance-ids') + 1));
  expect(asked).toEqual([ids.slice(0, 50), ids.slice(50)]);
});

it('ListTaggedInServiceCommand asks about no instance when none is tagged', async () => {
  expect(await run('ListTaggedInServiceCommand')).toHaveLength(1);
});
