import type { Sample } from './function.ts';
import { atShareOf, USD_PER_GB_SECOND, USD_PER_MILLION_REQUESTS, usdPerMillion } from './lambda-price.ts';
import { median, round, type Table } from './table.ts';

const SIZES_MB = [128, 192, 256, 512, 1024, 1769];

/**
 * What a cold start would take and cost at each memory size of Lambda, on paper. A start-up has a whole CPU whatever the
 * size (https://serverlessland.com/content/service/lambda/guides/effectively-running-java-on-serverless/init-heavy-lifting);
 * an invocation has its share.
 */
export function memorySizes(shipped: readonly Sample[], defaults: readonly Sample[]): Table {
  const peakMb = median(shipped.map(({ peakBytes }) => peakBytes)) / 2 ** 20;
  const rows = SIZES_MB.map((size) => {
    const [start, defaultStart] = [startAt(size, shipped), startAt(size, defaults)];
    return {
      'memory, MB': String(size),
      'peak, %': round((100 * peakMb) / size),
      'load, ms': round(start.loadMs),
      'first call, ms': round(start.callMs),
      'sum, ms': round(start.sumMs),
      'a million, USD': start.usd,
      "esbuild's defaults, ms": round(defaultStart.sumMs),
      'a million of those, USD': defaultStart.usd,
    };
  });
  return {
    title: 'Memory size: cold starts over TLS, on paper',
    rows,
    notes: [
      "CPU time measured here, scaled to Lambda's share of a CPU; without Lambda's own runtime and the way to EC2.",
      `List prices: ${USD_PER_GB_SECOND} USD per GB-second on arm64, ${USD_PER_MILLION_REQUESTS.toFixed(2)} USD per million requests.`,
    ],
  };
}

function startAt(size: number, samples: readonly Sample[]) {
  const loadMs = median(samples.map(({ load }) => load.ms));
  const callMs = atShareOf(size, {
    ms: median(samples.map(({ load, first }) => first.ms - load.ms)),
    cpuMs: median(samples.map(({ load, first }) => first.cpuMs - load.cpuMs)),
  });
  return { loadMs, callMs, sumMs: loadMs + callMs, usd: round(usdPerMillion(size, loadMs + callMs), 2) };
}
