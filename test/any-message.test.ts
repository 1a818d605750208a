import fc from 'fast-check';
import { expect, it } from 'vitest';
import { calls, ec2 } from './helpers/ec2.ts';
import { event, withText } from './helpers/event.ts';
import { coldStart } from './helpers/invoke.ts';

const TERMINATING = 'autoscaling:EC2_INSTANCE_TERMINATING';
const LAUNCHING = 'autoscaling:EC2_INSTANCE_LAUNCHING';
const LAUNCH = 'autoscaling:EC2_INSTANCE_LAUNCH';
const TOKEN = '465e0162-e6af-4786-b4e8-bb544ae58790';

/** The rules of the function, written a second time. Returns the expected call for a text. */
function expectedCall(text: string): { command: string; instanceId: string } | undefined {
  let message: Record<string, unknown> | null;
  try {
    message = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (message === null || typeof message !== 'object' || message.AccountId !== '123456789012') return undefined;
  const { EC2InstanceId: instanceId, LifecycleTransition: transition, Origin, Destination } = message;
  if (typeof instanceId !== 'string' || !isInstanceId(instanceId)) return undefined;
  if (transition === TERMINATING) return { command: 'CreateTagsCommand', instanceId };
  const hookReturns =
    transition === LAUNCHING &&
    Destination === 'AutoScalingGroup' &&
    (Origin === 'WarmPool' || Origin === 'AutoScalingGroup');
  const notified = !('LifecycleTransition' in message) && message.Event === LAUNCH;
  const notifiedReturn = notified && Origin !== 'EC2' && Destination !== 'WarmPool';
  return hookReturns || notifiedReturn ? { command: 'DeleteTagsCommand', instanceId } : undefined;
}

function isInstanceId(text: string) {
  const digits = text.slice(2);
  return text.startsWith('i-') && [8, 17].includes(digits.length) && !/[^0-9a-f]/.test(digits);
}

const places = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom('WarmPool', 'AutoScalingGroup') },
  fc.constantFrom('EC2', 'warmpool', null, ['WarmPool']),
);
const notification = {
  Event: fc.oneof(
    { weight: 6, arbitrary: fc.constant(LAUNCH) },
    fc.constantFrom(LAUNCHING, 'autoscaling:EC2_INSTANCE_TERMINATE', 'autoscaling:TEST_NOTIFICATION', null),
  ),
  EC2InstanceId: fc.oneof(
    { weight: 8, arbitrary: fc.stringMatching(/^i-([0-9a-f]{8}|[0-9a-f]{17})$/) },
    fc.stringMatching(/^(i|vol|ami|subnet)-[0-9a-fA-F]{7,18}$/),
    fc.constantFrom('i-1b2c3d4e\n', ' i-1b2c3d4e', 'i-1b2c3d4e,i-1b2c3d4f', '', null, ['i-1b2c3d4e']),
  ),
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
const fields = {
  ...notification,
  LifecycleTransition: fc.oneof(
    { weight: 6, arbitrary: fc.constantFrom(TERMINATING, LAUNCHING) },
    fc.constantFrom(LAUNCH, `${TERMINATING} `, 'autoscaling:EC2_INSTANCE_TERMINATE', null, [TERMINATING]),
  ),
};
// Messages with every field, notifications with every field, and messages with some fields.
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
  // A real message that breaks off, or that has other text in the middle.
  fc.nat(terminating.length).map((end) => terminating.slice(0, end)),
  fc
    .tuple(fc.nat(terminating.length), fc.string())
    .map(([at, more]) => terminating.slice(0, at) + more + terminating.slice(at)),
);

it('any text leads to the expected call and to one log line without the token', async () => {
  const invoke = await coldStart();
  const seen: Record<string, number> = { CreateTagsCommand: 0, DeleteTagsCommand: 0, none: 0 };
  await fc.assert(
    fc.asyncProperty(texts, async (text) => {
      ec2.resetHistory();
      const { log, error } = await invoke(withText(event('terminating'), text));
      const call = expectedCall(text);
      const name = call?.command ?? 'none';
      seen[name] = (seen[name] ?? 0) + 1;
      expect(calls()).toMatchObject(call ? [{ command: name, input: { Resources: [call.instanceId] } }] : []);
      expect(calls()).toHaveLength(call ? 1 : 0);

      expect(log).toHaveLength(1);
      const outcomes = call ? [name === 'CreateTagsCommand' ? 'tagged' : 'untagged'] : ['ignored', 'failed'];
      expect(outcomes).toContain(log[0]?.line.outcome);
      expect(error !== undefined).toBe(log[0]?.line.outcome === 'failed');
      expect(JSON.stringify(log) + error).not.toContain(TOKEN);
    }),
    { numRuns: 3000 },
  );
  // The test proves something only if the generated messages reach every branch.
  expect(Math.min(...Object.values(seen))).toBeGreaterThan(50);
});
