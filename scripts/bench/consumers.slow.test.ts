import { expect, onTestFinished, test } from 'vitest';
import { instance, run } from '../../examples/fixtures.ts';
import { awsCli } from '../../test/helpers/aws-cli.ts';
import { skippedWithout } from '../../test/helpers/programs.ts';
import { startEc2Endpoint } from '../local-aws/ec2-endpoint.ts';

const skipped = skippedWithout({ aws: '--version' }, 'The AWS CLI of the simulated scripts');

test.skipIf(skipped)(
  'the AWS CLI calls EC2 as the simulation does: once a page, and five times when throttled',
  async () => {
    const ec2 = await startEc2Endpoint({ capacity: 2, refillPerSecond: 0.001 });
    onTestFinished(() => ec2.close());
    for (let n = 0; n < 15; n += 1) ec2.instances.set(`i-${n.toString(16).padStart(8, '0')}`, instance());
    // The default of the AWS CLI, not that of the tests.
    const { AWS_MAX_ATTEMPTS: _, ...env } = awsCli(ec2.url, { AWS_RETRY_MODE: 'legacy' });
    const { code } = await run('aws', ['ec2', 'describe-instances', '--page-size', '5', '--output', 'text'], { env });
    expect(code).not.toBe(0);
    const pages = ec2.calls.map(({ parameters, outcome }) => [parameters.get('NextToken'), outcome]);
    const rejected = ['10', 503];
    expect(pages).toEqual([[null, 200], ['5', 200], rejected, rejected, rejected, rejected, rejected]);
  },
);
