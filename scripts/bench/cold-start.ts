import type { Terminal } from '../command.ts';
import { median, round, type Table } from '../table.ts';
import { environment, measure, type Sample } from './function.ts';
import { startEc2With, terminatingEvent } from './local-ec2.ts';
import { buildVariants, DEFAULTS, FLOOR, variantsFolder } from './variants.ts';

/** Measures load and first call of every variant in fresh processes, in turns. */
export async function coldStart(runs: number, { err, signal }: Terminal): Promise<Table> {
  const event = await terminatingEvent();
  await using folder = await variantsFolder();
  const contenders = (await buildVariants(folder.path)).map((variant) => ({ ...variant, samples: [] as Sample[] }));
  const ec2 = await startEc2With(event);
  try {
    // The first turn, which fills the system's file cache, does not count.
    for (let run = 0; run <= runs; run += 1) {
      err(run === 0 ? 'cold-start: warming the file cache' : `cold-start: turn ${run} of ${runs}`);
      for (const { path, samples } of contenders) {
        const sample = await measure(path, event, environment(ec2.url), signal);
        if (run > 0) samples.push(sample);
      }
    }
  } finally {
    await ec2.close();
  }
  const sums = new Map(contenders.map(({ name, samples }) => [name, median(samples.map(({ first }) => first.ms))]));
  const rows = contenders.map(({ name, bytes, samples }) => {
    const sum = sums.get(name) ?? Number.NaN;
    return {
      variant: name,
      'load, ms': round(median(samples.map(({ load }) => load.ms)), 1),
      'first call, ms': round(median(samples.map(({ load, first }) => first.ms - load.ms)), 1),
      'sum, ms': round(sum, 1),
      'of the defaults': round(sum / (sums.get(DEFAULTS) ?? Number.NaN), 2),
      'of the floor': round(sum / (sums.get(FLOOR) ?? Number.NaN), 2),
      'CPU, ms': round(median(samples.map(({ first }) => first.cpuMs)), 1),
      'peak memory, MB': round(median(samples.map(({ peakBytes }) => peakBytes)) / 1e6),
      'bundle, kB': bytes === undefined ? null : round(bytes / 1000),
    };
  });
  return {
    title: 'Cold start: process start to module loaded, and the first CreateTags',
    rows,
    notes: [
      `Medians of ${runs} fresh processes each, in turns; Node ${process.versions.node} with Lambda's flags and environment; EC2's endpoint on the loopback interface, without TLS.`,
      'Each row with … leaves out one thing more than the row above it; as shipped leaves out all.',
    ],
  };
}
