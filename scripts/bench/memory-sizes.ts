import type { Sample } from './fresh-process.ts';
import { median, round, type Table } from './table.ts';

// https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html
const MB_OF_ONE_CPU = 1769;
const SIZES_MB = [128, 192, 256, 512, 1024, MB_OF_ONE_CPU];

// https://aws.amazon.com/lambda/pricing/, arm64 in us-east-1 at the first tier; SNS delivers to Lambda for nothing.
const USD_PER_GB_SECOND = 0.0000133334;
const USD_PER_MILLION_REQUESTS = 0.2;

/**
 * What a cold start would take and cost at each memory size of Lambda, on paper. A start-up has a whole CPU whatever the
 * size (https://serverlessland.com/content/service/lambda/guides/effectively-running-java-on-serverless/init-heavy-lifting);
 * an invocation has its share.
 */
export function memorySizes(samples: readonly Sample[]): Table {
  const loadMs = median(samples.map(({ load }) => load.ms));
  const callMs = median(samples.map(({ load, first }) => first.ms - load.ms));
  const callCpuMs = median(samples.map(({ load, first }) => first.cpuMs - load.cpuMs));
  const peakMb = median(samples.map(({ peakBytes }) => peakBytes)) / 2 ** 20;
  const rows = SIZES_MB.map((size) => {
    const scaledMs = Math.max(callMs, (callCpuMs * MB_OF_ONE_CPU) / size);
    const gbSeconds = ((loadMs + scaledMs) / 1000) * (size / 1024);
    return {
      'memory, MB': String(size),
      'peak memory, %': round((100 * peakMb) / size),
      'load, ms': round(loadMs),
      'first call, ms': round(scaledMs),
      'sum, ms': round(loadMs + scaledMs),
      'a million cold starts, USD': round(gbSeconds * 1e6 * USD_PER_GB_SECOND + USD_PER_MILLION_REQUESTS, 2),
    };
  });
  return {
    title: 'Memory size: the function as shipped, over TLS, on paper',
    rows,
    notes: [
      `CPU time measured here (${round(callCpuMs)} ms for the first call), scaled to Lambda's share of a CPU; without Lambda's own runtime and the way to EC2.`,
      `List prices: ${USD_PER_GB_SECOND} USD per GB-second on arm64, ${USD_PER_MILLION_REQUESTS.toFixed(2)} USD per million requests.`,
    ],
  };
}
