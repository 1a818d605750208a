import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { awsWithOutputs, runWithStubs, shellBlock } from '../test/helpers/page.ts';
import { deploy } from '../test/helpers/stack.ts';

const page = readFileSync(new URL('operate.md', import.meta.url), 'utf8');
const { outputs } = deploy({ TagKey: 'lb/drain=1', TagValue: 'now' });
const firstBlock = shellBlock(page, 'output() {');

/** Runs a block after the first block of the page. Returns the calls of the AWS CLI after those of the first block. */
async function run(block: string, answer?: string) {
  const stubs = { aws: awsWithOutputs(outputs, answer), sleep: '' };
  const { calls, ...result } = await runWithStubs(`${firstBlock}\n${block}`, stubs);
  return { ...result, calls: calls.filter(([program, service]) => program === 'aws' && service !== 'cloudformation') };
}

it('the first block needs no output that the stack does not have', async () => {
  const { stderr, stdout } = await run('echo "$STACK $TOPIC $ROLE $FUNCTION $LOG $QUEUE $TIMEOUT $KEY $VALUE"');
  expect(stderr).toBe('');
  const values = 'remove-from-lb Topic HookRole.Arn Function LogGroup FailureQueue 300 lb/drain=1 now\n';
  expect(stdout).toBe(values);
});

describe('the shell function output', () => {
  const [, definition = ''] = /^(output\(\) \{\n.*?^\}\n)/ms.exec(page) ?? [];
  const script = `STACK=drain\n${definition}\nTOPIC=$(output TopicArn) && echo "went on with $TOPIC"`;

  it('prints the output of the stack', async () => {
    const { stdout, status, calls } = await runWithStubs(script, { aws: awsWithOutputs({ TopicArn: 'arn:topic' }) });
    expect({ stdout, status }).toEqual({ stdout: 'went on with arn:topic\n', status: 0 });
    expect(calls[0]?.join(' ')).toContain('--stack-name drain ');
  });

  const complaint = 'no usable output TopicArn of the stack drain\n';
  it.each([
    ['prints nothing', '', complaint],
    ['prints None', 'echo None', complaint],
    ['prints an option', 'echo --endpoint-url=https://evil.example/', complaint],
    ['prints a quotation mark', `echo 'x", "Value": "y'`, complaint],
    ['prints a backslash', `printf '%s' 'x\\'`, complaint],
    ['prints the address of a file', 'echo file:///etc/passwd', complaint],
    ['prints the address of a binary file', 'echo fileb:///etc/passwd', complaint],
    ['prints the address of a page', 'echo http://169.254.169.254/', complaint],
    ['fails', 'echo "no such stack" >&2; exit 255', 'no such stack\n'],
  ])('fails and says so when the AWS CLI %s', async (_, aws, message) => {
    const { stdout, stderr, status } = await runWithStubs(script, { aws });
    expect({ stdout, stderr, status: status !== 0 }).toEqual({ stdout: '', stderr: message, status: true });
  });
});

describe('by hand', () => {
  it.each(['create-tags', 'delete-tags'])('%s has the tag of the stack, with its value', async (operation) => {
    const line = shellBlock(page, operation)
      .split('\n')
      .filter((line) => line.includes(operation))
      .join();
    const { calls } = await run(`INSTANCE=i-05629ab7d9287e205\n${line}`);
    expect(calls).toEqual([
      ['aws', 'ec2', operation, '--resources', 'i-05629ab7d9287e205', '--tags', expect.any(String), '--output', 'text'],
    ]);
    expect(JSON.parse(calls[0]?.[6] ?? '')).toEqual([{ Key: 'lb/drain=1', Value: 'now' }]);
  });
});

describe('the list of tagged instances that are in service', () => {
  const list = shellBlock(page, "LifecycleState=='InService'");

  it('asks about every tagged instance, fifty at a time as Auto Scaling demands', async () => {
    const ids = Array.from({ length: 51 }, (_, index) => `i-${String(index).padStart(17, '0')}`);
    const { calls } = await run(list, `printf '%b' '${ids.join('\\t')}\\n'`);
    const [tags = [], ...states] = calls;
    expect(JSON.parse(tags[tags.indexOf('--filters') + 1] ?? '')).toEqual([
      { Name: 'resource-type', Values: ['instance'] },
      { Name: 'key', Values: ['lb/drain=1'] },
      { Name: 'value', Values: ['now'] },
    ]);
    for (const call of states) {
      expect(call.join(' ')).toMatch(/^aws autoscaling describe-auto-scaling-instances .*LifecycleState=='InService'/);
    }
    const asked = states.map((call) => call.slice(call.indexOf('--instance-ids') + 1));
    expect(asked).toEqual([ids.slice(0, 50), ids.slice(50)]);
  });

  it('asks about no instance when none is tagged', async () => {
    expect((await run(list)).calls).toHaveLength(1);
  });
});

describe('the trial without Node.js', () => {
  const trial = shellBlock(page, 'terminate-instance-in-auto-scaling-group');

  it('has Auto Scaling replace one instance, and waits for the tag', async () => {
    const answer = `case "$*" in *describe-tags*)
      [ -e asked ] && printf '%s\\t%s\\n' lb/drain=1 now
      : > asked ;;
    esac`;
    const { stdout, calls } = await run(trial, answer);
    expect(stdout).toBe('lb/drain=1\tnow\n');
    const instance = 'i-0123456789abcdef0';
    const [replace = [], ...looks] = calls.map((call) => call.join(' '));
    expect(replace).toContain(`terminate-instance-in-auto-scaling-group --instance-id ${instance} `);
    expect(replace).toContain('--no-should-decrement-desired-capacity');
    expect(looks).toHaveLength(2);
    for (const look of looks) {
      expect(look).toContain(`Values=${instance} `);
      expect(look).toContain("[?Key=='lb/drain=1']");
    }
  });

  it('ends after a minute without the tag', async () => {
    const { stdout, calls } = await run(trial);
    expect(stdout).toBe('');
    expect(calls).toHaveLength(61);
  });
});
