import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { skippedWithout } from '../test/helpers/programs.ts';

const page = readFileSync(new URL('operate.md', import.meta.url), 'utf8');
const [, listMessages = ''] = /```sh\n(listed=.*?)```/s.exec(page) ?? [];
const [, findInstance = ''] = /(INSTANCE=\$\(printf .*?\n)/.exec(page) ?? [];

const skipped = skippedWithout({ jq: '--version' }, 'the commands for the failure queue');

test.skipIf(skipped)('the commands for the failure queue show every kind of message, and no token', () => {
  const Message = JSON.stringify({
    LifecycleTransition: 'autoscaling:EC2_INSTANCE_TERMINATING',
    EC2InstanceId: 'i-00000001',
    LifecycleActionToken: 'secret-token',
  });
  const sns = { Message, Timestamp: '2026-11-23T01:00:00Z' };
  const fromLambda = { requestPayload: { Records: [{ Sns: sns }] }, responsePayload: { errorMessage: 'Unavailable' } };
  const Messages = [JSON.stringify(fromLambda), JSON.stringify({ Type: 'Notification', ...sns }), 'by hand'].map(
    (Body, n) => ({ MessageId: `m${n}`, ReceiptHandle: `r${n}`, Body }),
  );
  const script = `aws() { cat; }\n${listMessages}\nID=m1\n${findInstance}\necho "$INSTANCE"; printf '%s' "$listed" >&2`;
  const { stdout, stderr } = spawnSync('sh', ['-c', script], { encoding: 'utf8', input: JSON.stringify({ Messages }) });
  expect(stdout.split('\n')).toEqual([
    'm0\tTERMINATING\ti-00000001\t2026-11-23T01:00:00Z\tUnavailable',
    'm1\tTERMINATING\ti-00000001\t2026-11-23T01:00:00Z\tSNS could not deliver it',
    'm2\t-\t-\t-\tthe message is not JSON',
    'i-00000001',
    '',
  ]);
  expect(stderr).toContain('"receipt":"r0"');
  expect(stderr).not.toContain('secret-token');
});
