import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { shellBlock } from '../test/helpers/page.ts';
import { skippedWithout } from '../test/helpers/programs.ts';

const page = readFileSync(new URL('operate.md', import.meta.url), 'utf8');
const listMessages = shellBlock(page, 'listed=');
const [, findInstance = ''] = /(INSTANCE=\$\(printf .*?\n)/.exec(page) ?? [];

const skipped = skippedWithout({ jq: '--version' }, 'the commands for the failure queue');

/** Lists messages of the failure queue with these bodies, and then looks up the instance of message `m0`. */
function list(...bodies: unknown[]) {
  const Messages = bodies.map((body, n) => {
    const Body = typeof body === 'string' ? body : JSON.stringify(body);
    return { MessageId: `m${n}`, ReceiptHandle: `r${n}`, Body };
  });
  const script = `aws() { cat; }\n${listMessages}\nID=m0\n${findInstance}
    printf 'INSTANCE=%s\n' "$INSTANCE"; printf '%s' "$listed" >&2`;
  const options = { encoding: 'utf8', input: JSON.stringify({ Messages }) } as const;
  const { stdout, stderr } = spawnSync('sh', ['-c', script], options);
  return { lines: stdout.trimEnd().split('\n'), listed: stderr };
}

const sns = (message: unknown) => ({
  Message: typeof message === 'string' ? message : JSON.stringify(message),
  Timestamp: '2026-11-23T01:00:00Z',
});
const fromLambda = (message: unknown, errorMessage: unknown = 'Unavailable') => ({
  requestPayload: { Records: [{ Sns: sns(message) }] },
  responsePayload: { errorMessage },
});
const MESSAGE = {
  LifecycleTransition: 'autoscaling:EC2_INSTANCE_TERMINATING',
  EC2InstanceId: 'i-00000001',
  LifecycleActionToken: 'secret-token',
};

describe.skipIf(skipped)('the commands for the failure queue', () => {
  it('show every kind of message, and no token', () => {
    const { lines, listed } = list(fromLambda(MESSAGE), { Type: 'Notification', ...sns(MESSAGE) }, 'by hand');
    expect(lines).toEqual([
      'm0\tTERMINATING\ti-00000001\t2026-11-23T01:00:00Z\tUnavailable',
      'm1\tTERMINATING\ti-00000001\t2026-11-23T01:00:00Z\tSNS could not deliver it',
      'm2\t-\tno instance id\t-\tthe message is not JSON',
      'INSTANCE=i-00000001',
    ]);
    expect(listed).toContain('"receipt":"r0"');
    expect(listed).not.toContain('secret-token');
  });

  it.each([
    '--endpoint-url=https://evil.example/',
    'file:///etc/passwd',
    'i-0000000g',
    'x\ni-00000001',
    '',
    null,
    7,
    ['i-00000001'],
    { id: 'i-00000001' },
  ])('take the instance %j for no instance', (EC2InstanceId) => {
    const { lines } = list(fromLambda({ ...MESSAGE, EC2InstanceId }));
    expect(lines).toEqual([
      'm0\tTERMINATING\tno instance id\t2026-11-23T01:00:00Z\tUnavailable',
      'INSTANCE=no instance id',
    ]);
  });

  it.each(['\u001b[2K\u001b]0;title\u0007', '\u009b2K', '\u007f', '\r\n\t', '\u202e\u200b\u2028'])(
    'show no control character of a message: %j',
    (control) => {
      const forged = { LifecycleTransition: `x${control}y`, EC2InstanceId: `i-0${control}` };
      const { lines } = list(fromLambda(forged, `failed ${control}`));
      const shown = control.replace(/[\p{C}\p{Zl}]/gu, '?');
      expect(lines).toEqual([
        `m0\tx${shown}y\tno instance id\t2026-11-23T01:00:00Z\tfailed ${shown}`,
        'INSTANCE=no instance id',
      ]);
    },
  );

  it.each(['[1]', '7', '"text"', 'null', '{"LifecycleTransition":{"a":[1]}}'])(
    'show the other messages beside the message %s',
    (message) => {
      const { lines } = list(fromLambda(MESSAGE), fromLambda(message, { odd: true }), fromLambda(MESSAGE));
      expect(lines.map((line) => line.split('\t').slice(0, 3))).toEqual([
        ['m0', 'TERMINATING', 'i-00000001'],
        ['m1', expect.anything(), 'no instance id'],
        ['m2', 'TERMINATING', 'i-00000001'],
        ['INSTANCE=i-00000001'],
      ]);
    },
  );

  // Somebody may call the function without SNS.
  it.each(['x', 7, [1], { Records: 'x' }, { Records: [7] }, { Records: [{ Sns: 'x' }] }])(
    'show an event that is not from SNS: %j',
    (requestPayload) => {
      const { lines } = list(fromLambda(MESSAGE), { requestPayload, responsePayload: { errorMessage: 'no records' } });
      expect(lines[1]).toBe('m1\t-\tno instance id\t-\tno records');
    },
  );
});
