interface MetricStat {
  readonly Metric: {
    readonly Namespace: string;
    readonly MetricName: string;
    readonly Dimensions?: readonly { readonly Name: string; readonly Value: string }[] | undefined;
  };
  readonly Stat: string;
  readonly Period: number;
}

/** An alarm on one metric or on an expression. */
export interface Alarm {
  readonly Namespace?: string;
  readonly MetricName?: string;
  readonly Dimensions?: MetricStat['Metric']['Dimensions'];
  readonly Statistic?: string;
  readonly Period?: number;
  readonly Metrics?: readonly {
    readonly Id: string;
    readonly ReturnData?: boolean;
    readonly MetricStat?: MetricStat;
    readonly Expression?: string;
  }[];
  readonly EvaluationPeriods: number;
  readonly DatapointsToAlarm?: number;
  readonly ComparisonOperator: string;
  readonly Threshold: number;
  readonly TreatMissingData: string;
}

/** A metric's value in each minute. CloudWatch gets a `late` value that many minutes after the minute's end. */
export type Minutes = readonly (number | undefined | { readonly value: number; readonly late: number })[];

/** The metrics that an alarm reads, by their ids. The id is `metric` without an expression. */
export function metricsOf({ Metrics, ...alarm }: Alarm): Record<string, MetricStat> {
  const { Namespace = '', MetricName = '', Dimensions, Statistic = '', Period = 0 } = alarm;
  if (!Metrics) return { metric: { Metric: { Namespace, MetricName, Dimensions }, Stat: Statistic, Period } };
  return Object.fromEntries(Metrics.flatMap(({ Id, MetricStat }) => (MetricStat ? [[Id, MetricStat]] : [])));
}

/**
 * The state of an alarm at the end of each minute.
 * https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html
 */
export function statesOf(alarm: Alarm, metrics: Readonly<Record<string, Minutes>>): string[] {
  const { ComparisonOperator, Threshold, TreatMissingData, EvaluationPeriods } = alarm;
  const { DatapointsToAlarm = EvaluationPeriods } = alarm;
  if (ComparisonOperator !== 'GreaterThanThreshold') throw new Error(`unknown operator ${ComparisonOperator}`);
  if (!['notBreaching', 'ignore'].includes(TreatMissingData)) throw new Error(`unknown rule ${TreatMissingData}`);
  const length = Math.max(...Object.values(metrics).map((minutes) => minutes.length));
  const states: string[] = [];
  for (let now = 0; now < length; now += 1) {
    const latest = Array.from({ length: EvaluationPeriods }, (_, index) =>
      judgedValue(alarm, metrics, now - index, now),
    );
    const breaching = latest.filter((value) => value !== undefined && value > Threshold).length;
    const missing = TreatMissingData === 'ignore' ? latest.filter((value) => value === undefined).length : 0;
    if (breaching >= DatapointsToAlarm) states.push('ALARM');
    else states.push(breaching + missing >= DatapointsToAlarm ? (states.at(-1) ?? 'INSUFFICIENT_DATA') : 'OK');
  }
  return states;
}

/** The value that the alarm judges for a minute, if CloudWatch has the value `now`. */
function judgedValue(alarm: Alarm, metrics: Readonly<Record<string, Minutes>>, minute: number, now: number) {
  const known = Object.keys(metricsOf(alarm)).map((id) => {
    const point = metrics[id]?.[minute];
    if (typeof point !== 'object') return [id, point] as const;
    return [id, now - minute >= point.late ? point.value : undefined] as const;
  });
  if (known.every(([, value]) => value === undefined)) return undefined;
  const watched = (alarm.Metrics ?? []).filter(({ ReturnData }) => ReturnData !== false);
  if (!alarm.Metrics) return known[0]?.[1];
  if (watched.length !== 1) throw new Error(`an alarm watches one series; this one watches ${watched.length}`);
  // Metric math calculates as JavaScript does, with 0 for a missing value.
  const calculate = new Function(...known.map(([id]) => id), `return ${watched[0]?.Expression}`);
  return calculate(...known.map(([, value]) => value ?? 0)) as number;
}
