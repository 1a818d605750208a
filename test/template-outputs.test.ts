import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { deploy } from './helpers/stack.ts';

const stack = deploy({ TagKey: 'lb/drain=1', TagValue: 'now' });

/** Evaluates a command of the outputs, as its reader does, with an `aws` that writes down how it was called. */
function run(output: string, answer = ''): string[][] {
  const folder = mkdtempSync(join(tmpdir(), 'remove-from-lb-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const calls = join(folder, 'calls');
  writeFileSync(join(folder, 'aws'), `#!/bin/sh\n(printf '%s\\n' "$@"; echo) >> '${calls}'\nprintf '%b' '${answer}'\n`);
  chmodSync(join(folder, 'aws'), 0o755);
  const PATH = `${folder}${delimiter}${process.env.PATH}`;
  const environment = { PATH, GROUP: 'web servers', INSTANCE: 'i-05629ab7d9287e205', COMMAND: output };
  execFileSync('sh', ['-eu', '-c', 'eval "$COMMAND"'], { env: environment });
  return readFileSync(calls, 'utf8')
    .trimEnd()
    .split('\n\n')
    .map((call) => call.split('\n'));
}

it('what the commands of the pages need is in the outputs', () => {
  expect(stack.outputs).toMatchObject({
    TopicArn: 'Topic',
    HookRoleArn: 'HookRole.Arn',
    FunctionName: 'Function',
    LogGroupName: 'LogGroup',
    FailureQueueUrl: 'FailureQueue',
  });
});

it('a command has the group collect the metric that the silence alarm looks at', () => {
  expect(run(String(stack.outputs.EnableGroupMetricsCommand))).toEqual([
    [
      ...[
        'autoscaling',
        'enable-metrics-collection',
        '--region',
        'us-west-2',
        '--output',
        'text',
        '--auto-scaling-group-name',
        'web servers',
      ],
      ...['--granularity', '1Minute', '--metrics', 'GroupTerminatingInstances'],
    ],
  ]);
});

it.each([
  ['SetTagCommand', 'create-tags'],
  ['ClearTagCommand', 'delete-tags'],
])('%s is about the tag of the parameters, with its value', (name, operation) => {
  const [call = [], ...others] = run(String(stack.outputs[name]));
  expect(others).toEqual([]);
  expect(call.slice(0, -1)).toEqual([
    ...['ec2', operation, '--region', 'us-west-2', '--output', 'text', '--resources', 'i-05629ab7d9287e205', '--tags'],
  ]);
  expect(JSON.parse(call.at(-1) ?? '')).toEqual([{ Key: 'lb/drain=1', Value: 'now' }]);
});

it('a command asks Auto Scaling which of the tagged instances are in service, fifty at a time as it demands', () => {
  const ids = Array.from({ length: 51 }, (_, index) => `i-${String(index).padStart(17, '0')}`);
  const [tags = [], ...states] = run(String(stack.outputs.ListTaggedInServiceCommand), `${ids.join('\\t')}\\n`);
  const filters = JSON.parse(tags[tags.indexOf('--filters') + 1] ?? '') as object[];
  expect(filters).toContainEqual({ Name: 'key', Values: ['lb/drain=1'] });
  expect(filters).toContainEqual({ Name: 'value', Values: ['now'] });
  expect(filters).toContainEqual({ Name: 'resource-type', Values: ['instance'] });
  expect(states.map((call) => call.slice(call.indexOf('--instance-ids') + 1))).toEqual([
    ids.slice(0, 50),
    ids.slice(50),
  ]);
  for (const call of states) {
    expect(call.join(' ')).toContain('autoscaling describe-auto-scaling-instances --region us-west-2 --output text');
    expect(call.join(' ')).toContain("[?LifecycleState=='InService']");
  }
});

it('that command asks about no instance at all when none is tagged', () => {
  expect(run(String(stack.outputs.ListTaggedInServiceCommand), '')).toHaveLength(1);
});
