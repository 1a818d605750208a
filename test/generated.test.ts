import { CreateTagsCommand, DeleteTagsCommand, EC2Client } from '@aws-sdk/client-ec2';
import { mockClient } from 'aws-sdk-client-mock';
import fc from 'fast-check';
import { beforeEach, expect, it } from 'vitest';
import { event, eventWith, withText } from './helpers/event.ts';
import { coldStart } from './helpers/invoke.ts';

const ec2 = mockClient(EC2Client);

beforeEach(() => {
  ec2.reset();
  ec2.on(CreateTagsCommand).resolves({}).on(DeleteTagsCommand).resolves({});
});

const TERMINATING = 'autoscaling:EC2_INSTANCE_TERMINATING';
const LAUNCHING = 'autoscaling:EC2_INSTANCE_LAUNCHING';
const LAUNCH = 'autoscaling:EC2_INSTANCE_LAUNCH';
const TOKEN = '465e0162-e6af-4786-b4e8-bb544ae58790';

/** What the rules say of a text, written down once more: the command that it calls for, or none. */
function expected(text: string): { command: string; instanceId: string } | undefined {
  let message: Record<string, unknown> | null;
  try {
    message = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (message === null || typeof message !== 'object' || message.AccountId !== '123456789012') return undefined;
  const instanceId = message.EC2InstanceId;
  if (typeof instanceId !== 'string' || !['', '123456789'].some((extra) => isId(instanceId, extra))) return undefined;
  if (message.LifecycleTransition === TERMINATING) return { command: 'CreateTagsCommand', instanceId };
  const launches =
    message.LifecycleTransition === LAUNCHING || (!('LifecycleTransition' in message) && message.Event === LAUNCH);
  const back =
    message.Destination === 'AutoScalingGroup' && ['WarmPool', 'AutoScalingGroup'].includes(`${message.Origin}`);
  return launches && back && typeof message.Origin === 'string'
    ? { command: 'DeleteTagsCommand', instanceId }
    : undefined;
}

function isId(text: string, extra: string) {
  return (
    text.length === 'i-12345678'.length + extra.length && text.startsWith('i-') && !/[^0-9a-f]/.test(text.slice(2))
  );
}

const instanceIds = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom('i-05629ab7d9287e205', 'i-1b2c3d4e') },
  fc.stringMatching(/^(i|vol|ami|subnet)-[0-9a-fA-F]{7,18}$/),
  fc.constantFrom('i-1b2c3d4e\n', ' i-1b2c3d4e', 'i-1b2c3d4e,i-1b2c3d4f', '', null, ['i-1b2c3d4e']),
);
const transitions = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(TERMINATING, LAUNCHING) },
  fc.constantFrom(LAUNCH, `${TERMINATING} `, 'autoscaling:EC2_INSTANCE_TERMINATE', null, [TERMINATING]),
);
const events = fc.oneof(
  { weight: 6, arbitrary: fc.constant(LAUNCH) },
  fc.constantFrom(LAUNCHING, 'autoscaling:EC2_INSTANCE_TERMINATE', 'autoscaling:TEST_NOTIFICATION', null),
);
const places = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom('WarmPool', 'AutoScalingGroup') },
  fc.constantFrom('EC2', 'warmpool', null, ['WarmPool']),
);
const fields = {
  LifecycleTransition: transitions,
  Event: events,
  EC2InstanceId: instanceIds,
  AccountId: fc.oneof(
    { weight: 6, arbitrary: fc.constant('123456789012') },
    fc.constantFrom('210987654321', 123456789012, null),
  ),
  Origin: places,
  Destination: places,
  AutoScalingGroupName: fc.constant('web'),
  LifecycleActionToken: fc.constant(TOKEN),
  Time: fc.constantFrom('2024-03-23T03:26:43.904Z', 'never', null),
};
const { LifecycleTransition: _, ...notification } = fields;
// Messages with every field, notifications with every field, and either with any field left out.
const messages = fc
  .oneof(fc.record(fields), fc.record(notification), fc.record(fields, { requiredKeys: [] }))
  .map((message) => JSON.stringify(message));
const [terminating = ''] = event('terminating').Records.map(({ Sns }) => Sns.Message);
const texts = fc.oneof(
  { weight: 6, arbitrary: messages },
  fc.json(),
  // A message that was turned into JSON twice.
  messages.map((text) => JSON.stringify(text)),
  fc.string(),
  // A real message that was cut off, or that something was put into.
  fc.nat(terminating.length).map((end) => terminating.slice(0, end)),
  fc
    .tuple(fc.nat(terminating.length), fc.string())
    .map(([at, more]) => terminating.slice(0, at) + more + terminating.slice(at)),
);

it('calls EC2 only for a valid lifecycle message, and only with the instance id in it; says what it did; keeps the token', async () => {
  const invoke = await coldStart();
  const seen = { CreateTagsCommand: 0, DeleteTagsCommand: 0, none: 0 };
  await fc.assert(
    fc.asyncProperty(texts, async (text) => {
      ec2.resetHistory();
      const { log, error } = await invoke(withText(event('terminating'), text));
      const calls = ec2.calls().map(({ args: [command] }) => ({
        command: command.constructor.name,
        resources: (command.input as { Resources: unknown }).Resources,
      }));
      const call = expected(text);
      seen[(call?.command ?? 'none') as keyof typeof seen] += 1;
      expect(calls).toEqual(call ? [{ command: call.command, resources: [call.instanceId] }] : []);

      expect(log).toHaveLength(1);
      const outcomes = call ? [call.command === 'CreateTagsCommand' ? 'tagged' : 'untagged'] : ['ignored', 'failed'];
      expect(outcomes).toContain(log[0]?.line.outcome);
      expect(error !== undefined).toBe(log[0]?.line.outcome === 'failed');
      expect(JSON.stringify(log) + error).not.toContain(TOKEN);
    }),
    { numRuns: 3000 },
  );
  // The generated messages must reach every branch, or all of this would be proved of nothing.
  expect(Math.min(...Object.values(seen))).toBeGreaterThan(50);
});

it('knows an instance id of any digits', async () => {
  const invoke = await coldStart();
  const digits = fc.oneof(fc.stringMatching(/^[0-9a-f]{8}$/), fc.stringMatching(/^[0-9a-f]{17}$/));
  await fc.assert(
    fc.asyncProperty(digits, async (hex) => {
      ec2.resetHistory();
      await invoke(eventWith('terminating', { EC2InstanceId: `i-${hex}` }));
      expect(ec2.commandCalls(CreateTagsCommand).map(({ args: [{ input }] }) => input.Resources)).toEqual([
        [`i-${hex}`],
      ]);
    }),
  );
});
