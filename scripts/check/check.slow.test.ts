import { execFileSync } from 'node:child_process';
import { GetQueueAttributesCommand } from '@aws-sdk/client-sqs';
import { expect, test } from 'vitest';
import { skippedWithout } from '../../test/helpers/programs.ts';
import { aws, givenHealthyChain, links } from './check-chain.ts';

const skipped = skippedWithout({ jq: '--version' }, 'the command that shows the failure queue');

test.skipIf(skipped)('the command for the failure queue shows messages of both envelopes, and no token', async () => {
  const message = JSON.stringify({
    LifecycleTransition: 'autoscaling:EC2_INSTANCE_TERMINATING',
    EC2InstanceId: 'i-00000001',
    AutoScalingGroupName: 'web',
    Time: '2026-11-23T01:00:00Z',
    LifecycleActionToken: 'secret-token',
  });
  const fromLambda = { requestPayload: { Records: [{ Sns: { Message: message } }] }, responsePayload: {} };
  const fromSns = { Type: 'Notification', Message: message };
  const Messages = [fromLambda, fromSns].map((body) => ({ Body: JSON.stringify(body) }));
  givenHealthyChain();
  aws.sqs.on(GetQueueAttributesCommand).resolves({ Attributes: { ApproximateNumberOfMessages: '2' } });
  const { links: all } = await links();
  const mend = all.find(({ link }) => link === 'failure queue')?.mend ?? '';
  const shown = execFileSync('sh', ['-c', `aws() { cat; }\n${mend}`], {
    encoding: 'utf8',
    input: JSON.stringify({ Messages }),
  });
  const line = 'autoscaling:EC2_INSTANCE_TERMINATING\ti-00000001\tweb\t2026-11-23T01:00:00Z\n';
  expect(shown).toBe(line + line);
});
