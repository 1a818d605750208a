import { type CloudWatchClient, paginateGetMetricData } from '@aws-sdk/client-cloudwatch';
import { examine, type Link } from './link.ts';
import type { Stack } from './stack.ts';

const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;

// CloudWatch keeps periods of five minutes for 63 days.
const PERIOD_SECONDS = 300;
const WINDOW_DAYS = 62;

/** When an instance was last tagged, by the metric that the stack makes of the function's log. */
export function checkLastTagged(cloudWatch: CloudWatchClient, stack: Stack): Promise<readonly Link[]> {
  return examine('last tagged', null, async (as) => {
    const now = Date.now();
    const pages = paginateGetMetricData(
      { client: cloudWatch },
      {
        StartTime: new Date(now - WINDOW_DAYS * DAY_MS),
        EndTime: new Date(now),
        ScanBy: 'TimestampDescending',
        MetricDataQueries: [
          {
            Id: 'tagged',
            MetricStat: {
              Metric: { Namespace: stack.name, MetricName: 'Tagged' },
              Stat: 'Sum',
              Period: PERIOD_SECONDS,
            },
          },
        ],
      },
    );
    for await (const { MetricDataResults: [{ Timestamps = [], Values = [] } = {}] = [] } of pages) {
      const last = Timestamps.find((_, index) => (Values[index] ?? 0) > 0);
      if (last) return as.ok(`${ago(now - last.getTime())} ago, in the five minutes from ${last.toISOString()}`);
    }
    return as.unknown(`nothing in ${WINDOW_DAYS} days: no instance left, or nobody noticed; --drill shows which`);
  });
}

function ago(ms: number): string {
  if (ms < 2 * 60 * MINUTE_MS) return `${Math.round(ms / MINUTE_MS)} minutes`;
  return ms < 2 * DAY_MS ? `${Math.round(ms / 60 / MINUTE_MS)} hours` : `${Math.round(ms / DAY_MS)} days`;
}
