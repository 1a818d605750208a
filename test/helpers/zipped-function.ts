import { expect, it as test } from 'vitest';
import { bundle } from '../../scripts/bundle.ts';
import { type Fault, startEc2Endpoint } from '../../scripts/local-aws/ec2-endpoint.ts';
import { type LambdaOptions, startLambda } from '../../scripts/local-aws/lambda.ts';
import { DEFAULT_TAG } from '../../src/settings.ts';
import { event } from './event.ts';

export const INSTANCE = 'i-05629ab7d9287e205';

// The bundle, because the build drops and replaces parts of the SDK.
export const { zip } = await bundle();

/** A test with its own EC2 endpoint, and with the zipped function in its own process. */
export const it = test
  .extend('endpoint', async ({ onTestFinished }) => {
    const endpoint = await startEc2Endpoint();
    onTestFinished(() => endpoint.close());
    endpoint.instances.set(INSTANCE, { tags: new Map([['Name', 'web-1']]) });
    return endpoint;
  })
  .extend('start', ({ endpoint, onTestFinished }) => async (options: LambdaOptions = {}) => {
    const environment = { AWS_ENDPOINT_URL: endpoint.url, ...options.environment };
    const lambda = await startLambda(zip, { timeoutMs: 15_000, ...options, environment });
    onTestFinished(() => lambda.stop());
    return lambda;
  })
  .extend('invoke', ({ start }) => async (name: string, timeoutMs = 15_000) => {
    const lambda = await start({ timeoutMs });
    return lambda.invoke(event(name));
  })
  .extend('expectTagAfter', ({ endpoint, invoke }) => async (fault: Fault) => {
    endpoint.faults.push(fault);
    const { log, error } = await invoke('terminating');
    expect(error).toBeUndefined();
    expect(endpoint.instances.get(INSTANCE)?.tags.get(DEFAULT_TAG.key)).toBe(DEFAULT_TAG.value);
    expect(endpoint.calls.map(({ outcome }) => outcome)).toEqual([fault, 200]);
    expect(log).toMatchObject([{ level: 'INFO', message: { outcome: 'tagged' } }]);
  });
