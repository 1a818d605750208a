import { steps } from '../../esbuild.config.mjs';
import { environment, measure, type Sample } from './function.ts';
import { startEc2With, startTlsFront, terminatingEvent } from './local-ec2.ts';
import { memorySizes } from './memory-sizes.ts';
import { median, round, type Table } from './table.ts';
import { buildVariants, DEFAULTS, FLOOR, SHIPPED, type Variant } from './variants.ts';

/** Measures load and first call of every variant in fresh processes, in turns. */
export async function coldStart(runs: number): Promise<Table[]> {
  const event = await terminatingEvent();
  const variants = await buildVariants();
  const ec2 = await startEc2With(event);
  const tls = await startTlsFront(ec2.url);
  const overHttp = environment(ec2.url);
  const contenders = variants.map((variant) => ({ ...variant, env: overHttp, samples: [] as Sample[] }));
  if (tls) {
    const env = { ...environment(tls.url), NODE_EXTRA_CA_CERTS: tls.certificateFile };
    for (const { name, path } of variants.filter(isMeasuredOverTls)) {
      contenders.push({ name: `${name}, over TLS`, path, env, samples: [] });
    }
  }
  try {
    // The first turn, which fills the system's file cache, does not count.
    for (let run = 0; run <= runs; run += 1) {
      console.error(run === 0 ? 'cold-start: warming the file cache' : `cold-start: turn ${run} of ${runs}`);
      for (const { path, env, samples } of contenders) {
        const sample = await measure(path, event, env);
        if (run > 0) samples.push(sample);
      }
    }
  } finally {
    await tls?.close();
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
      'bundle, kB': bytes === undefined ? '' : round(bytes / 1000),
    };
  });
  const table = {
    title: 'Cold start: process start to module loaded, and the first CreateTags',
    rows,
    notes: [
      `Medians of ${runs} fresh processes each, in turns; Node ${process.versions.node} with Lambda's flags and environment; EC2's endpoint on the loopback interface.`,
      `Each row with … leaves out one thing more than the row above it; as shipped leaves out all, the last being ${steps.at(-1)?.name}.`,
      ...(tls
        ? []
        : ['Starts over TLS, and the memory sizes reckoned from them, are missing: there is no openssl here.']),
    ],
  };
  const overTls = (variant: string) => contenders.find(({ name }) => name === `${variant}, over TLS`)?.samples;
  const [shipped, defaults] = [overTls(SHIPPED), overTls(DEFAULTS)];
  return shipped && defaults ? [table, memorySizes(shipped, defaults)] : [table];
}

function isMeasuredOverTls({ name }: Variant): boolean {
  return name === DEFAULTS || name === SHIPPED || name === FLOOR;
}
