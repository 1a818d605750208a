import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { SNSEvent } from 'aws-lambda';
import { DEFAULT_TAG } from '../../src/settings.ts';
import sample from '../../test/events/terminating.json' with { type: 'json' };
import type { Terminal } from '../command.ts';
import { type Call, startEc2Endpoint } from '../local-aws/ec2-endpoint.ts';
import { FUNCTION_TIMEOUT_MS, LAMBDA_FLAGS } from '../local-aws/lambda.ts';
import { round, type Table } from '../table.ts';
import type { Assignment } from './scale-in-process.ts';
import { buildScaleInVariants, environment, type Variant, variantsFolder } from './variants.ts';

/** EC2's limit for CreateTags: https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-throttling.html */
const BUCKET = { capacity: 100, refillPerSecond: 10 };

/** Numbers of instances. */
export const SIZES: readonly number[] = [100, 300, 1000];

const SCRIPT = fileURLToPath(new URL('scale-in-process.ts', import.meta.url));

/** Terminates N instances at the same moment, each with its own copy of the function, under EC2's limit. */
export async function scaleIn(sizes: readonly number[], terminal: Terminal): Promise<Table> {
  await using folder = await variantsFolder();
  const variants = await buildScaleInVariants(folder.path);
  const rows = [];
  for (const count of sizes) {
    for (const variant of variants) rows.push(await terminate(count, variant, terminal));
  }
  return {
    title: 'Mass scale-in: N instances at the same moment',
    rows,
    notes: [
      `EC2's bucket: ${BUCKET.capacity} calls, refilled at ${BUCKET.refillPerSecond} per second. The function's timeout: ${FUNCTION_TIMEOUT_MS / 1000} s. One invocation for each instance, without Lambda's retries.`,
    ],
  };
}

async function terminate(count: number, { name, path }: Variant, { err, signal }: Terminal) {
  await using started = new AsyncDisposableStack();
  const ec2 = await startEc2Endpoint(BUCKET);
  started.defer(() => ec2.close());
  const ids = Array.from({ length: count }, (_, n) => `i-${n.toString(16).padStart(17, '0')}`);
  for (const id of ids) ec2.instances.set(id, { tags: new Map() });
  const tagged = () =>
    [...ec2.instances.values()].filter(({ tags }) => tags.get(DEFAULT_TAG.key) === DEFAULT_TAG.value);
  const report = () => err(`scale-in: N = ${count}, ${name}: ${tagged().length} tagged`);

  const child = fork(SCRIPT, { execArgv: LAMBDA_FLAGS, env: environment(ec2.url), signal });
  child.send({ path, events: ids.map(eventFor), timeoutMs: FUNCTION_TIMEOUT_MS } satisfies Assignment);
  report();
  const progress = setInterval(report, 5000);
  started.defer(() => clearInterval(progress));
  const [code] = await once(child, 'exit');
  if (code !== 0) throw new Error(`the process of the function's copies ended with exit code ${code}`);

  const times = (calls: readonly Call[]) => calls.map(({ at }) => at);
  const successes = ec2.calls.filter(({ outcome }) => outcome === 200);
  const lastSeconds = (Math.max(...times(successes)) - Math.min(...times(ec2.calls))) / 1000;
  const bestSeconds = Math.max(0, (count - BUCKET.capacity) / BUCKET.refillPerSecond);
  return {
    variant: name,
    N: count,
    tagged: tagged().length,
    'rejected calls': ec2.calls.length - successes.length,
    'last tag, s': round(lastSeconds, 1),
    'by the bucket, s': bestSeconds,
    ratio: bestSeconds > 0 && tagged().length === count ? round(lastSeconds / bestSeconds, 2) : null,
  };
}

function eventFor(id: string): SNSEvent {
  return JSON.parse(JSON.stringify(sample).replaceAll('i-05629ab7d9287e205', id));
}
