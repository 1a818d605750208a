import fc from 'fast-check';
import { expect, it } from 'vitest';
import { calls, ec2 } from './helpers/ec2.ts';
import { event, withText } from './helpers/event.ts';
import { coldStart } from './helpers/invoke.ts';

const TOKEN = '465e0162-e6af-4786-b4e8-bb544ae58790';
const LAUNCHING = 'autoscaling:EC2_INSTANCE_LAUNCHING';
const LAUNCH = 'autoscaling:EC2_INSTANCE_LAUNCH';

const places = fc.constantFrom('WarmPool', 'AutoScalingGroup', 'EC2', null, ['WarmPool']);
const messages = fc
  .record(
    {
      LifecycleTransition: fc.constantFrom('autoscaling:EC2_INSTANCE_TERMINATING', LAUNCHING, LAUNCH, null),
      Event: fc.constantFrom(LAUNCH, 'autoscaling:TEST_NOTIFICATION', null),
      EC2InstanceId: fc.oneof(
        fc.stringMatching(/^i-([0-9a-f]{8}|[0-9a-f]{17})$/),
        fc.stringMatching(/^(i|vol|ami)-[0-9a-fA-F]{7,18}$/),
        fc.constantFrom('i-1b2c3d4e\n', ' i-1b2c3d4e', 'i-1b2c3d4e,i-1b2c3d4f', null, ['i-1b2c3d4e']),
      ),
      AccountId: fc.constant('123456789012'),
      Origin: places,
      Destination: places,
      LifecycleActionToken: fc.constant(TOKEN),
    },
    { requiredKeys: ['AccountId', 'LifecycleActionToken'] },
  )
  .map((message) => JSON.stringify(message));
const [terminating = ''] = event('terminating').Records.map(({ Sns }) => Sns.Message);
const texts = fc.oneof(
  { weight: 6, arbitrary: messages },
  fc.json(),
  // A message that was turned into JSON twice.
  messages.map((text) => JSON.stringify(text)),
  // A real message with text put into it.
  fc
    .tuple(fc.nat(terminating.length), fc.string())
    .map(([at, more]) => terminating.slice(0, at) + more + terminating.slice(at)),
);

it('any text leads to one call for one instance or to none, to one log line, and never to the token in the log', async () => {
  const invoke = await coldStart();
  let acted = 0;
  await fc.assert(
    fc.asyncProperty(texts, async (text) => {
      ec2.resetHistory();
      const { log, error } = await invoke(withText(event('terminating'), text));
      expect(log).toHaveLength(1);
      const { outcome } = log[0]?.line ?? {};
      const changes = outcome === 'tagged' || outcome === 'untagged';
      const Resources = [expect.stringMatching(/^i-([0-9a-f]{8}|[0-9a-f]{17})$/)];
      const command = outcome === 'tagged' ? 'CreateTagsCommand' : 'DeleteTagsCommand';
      expect(calls()).toMatchObject(changes ? [{ command, input: { Resources } }] : []);
      if (changes) acted += 1;
      expect(error !== undefined).toBe(outcome === 'failed');
      expect(JSON.stringify(log) + error).not.toContain(TOKEN);
    }),
    { numRuns: 3000 },
  );
  // The generated messages must reach EC2, or the test would prove nothing.
  expect(acted).toBeGreaterThan(50);
});
