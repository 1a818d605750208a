import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import event from '../../test/events/terminating.json' with { type: 'json' };
import type { Terminal } from '../command.ts';
import { startEc2Endpoint } from '../local-aws/ec2-endpoint.ts';
import { LAMBDA_FLAGS } from '../local-aws/lambda.ts';
import { median, round, type Table } from '../table.ts';
import { buildColdStartVariants, DEFAULTS, environment, variantsFolder } from './variants.ts';

const SCRIPT = fileURLToPath(new URL('cold-start-process.cjs', import.meta.url));

/** The figures of one process. Times are in milliseconds since the start of the process. */
interface Sample {
  readonly loadMs: number;
  readonly totalMs: number;
  readonly peakBytes: number;
}

/** Measures load and first call of each variant in fresh processes, in turns. */
export async function coldStart(runs: number, { err, signal }: Terminal): Promise<Table> {
  await using folder = await variantsFolder();
  const variants = (await buildColdStartVariants(folder.path)).map((variant) => ({
    ...variant,
    samples: [] as Sample[],
  }));
  await using started = new AsyncDisposableStack();
  const ec2 = await startEc2Endpoint();
  started.defer(() => ec2.close());
  for (const { Sns } of event.Records) ec2.instances.set(JSON.parse(Sns.Message).EC2InstanceId, { tags: new Map() });

  // The first turn fills the system's file cache, and does not count.
  for (let run = 0; run <= runs; run += 1) {
    err(run === 0 ? 'cold-start: filling the file cache' : `cold-start: turn ${run} of ${runs}`);
    for (const { path, samples } of variants) {
      const args = [...LAMBDA_FLAGS, SCRIPT, path, JSON.stringify(event)];
      const { stdout } = await promisify(execFile)(process.execPath, args, { env: environment(ec2.url), signal });
      if (run > 0) samples.push(JSON.parse(stdout));
    }
  }

  const totalOf = (wanted: string) =>
    median(variants.flatMap(({ name, samples }) => (name === wanted ? samples.map(({ totalMs }) => totalMs) : [])));
  const rows = variants.map(({ name, bytes, samples }) => ({
    variant: name,
    'load, ms': round(median(samples.map(({ loadMs }) => loadMs)), 1),
    'first call, ms': round(median(samples.map(({ loadMs, totalMs }) => totalMs - loadMs)), 1),
    'sum, ms': round(totalOf(name), 1),
    'of the defaults': round(totalOf(name) / totalOf(DEFAULTS), 2),
    'peak memory, MB': round(median(samples.map(({ peakBytes }) => peakBytes)) / 1e6),
    'bundle, kB': bytes === null ? null : round(bytes / 1000),
  }));
  return {
    title: 'Cold start: from the start of the process to the loaded module, and the first CreateTags',
    rows,
    notes: [
      `Medians of ${runs} fresh processes each, in turns. Node ${process.versions.node} with Lambda's flags and environment. The EC2 endpoint is on the loopback interface, without TLS.`,
    ],
  };
}
