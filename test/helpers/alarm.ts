import { evaluate, type Series } from './metric-math.ts';

interface MetricStat {
  readonly Metric: {
    readonly Namespace: string;
    readonly MetricName: string;
    readonly Dimensions?: readonly Dimension[] | undefined;
  };
  readonly Stat: string;
  readonly Period: number;
}

export interface Dimension {
  readonly Name: string;
  readonly Value: string;
}

/** An alarm, on one metric or on an expression. */
export interface Alarm {
  readonly Namespace?: string;
  readonly MetricName?: string;
  readonly Dimensions?: readonly Dimension[];
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

export type AlarmState = 'OK' | 'ALARM' | 'INSUFFICIENT_DATA';

/** The metrics that an alarm looks at, by their identifiers; `metric` if there is one only. */
export function metricsOf(alarm: Alarm): Record<string, MetricStat> {
  const { Namespace = '', MetricName = '', Dimensions, Statistic = '', Period = 0, Metrics } = alarm;
  if (!Metrics) return { metric: { Metric: { Namespace, MetricName, Dimensions }, Stat: Statistic, Period } };
  return Object.fromEntries(Metrics.flatMap(({ Id, MetricStat }) => (MetricStat ? [[Id, MetricStat]] : [])));
}

/**
 * What CloudWatch makes of an alarm.
 * https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html
 * @param minutes what each metric reported in each minute, by the identifiers of {@link metricsOf}; none: never.
 * @param end the minute before which the latest period ends: any for a window that slides, that of a full period for one
 * that is aligned to the clock.
 * @param more how many periods CloudWatch fetches beyond those that it evaluates; it does not say.
 */
export function stateOf(alarm: Alarm, minutes: Readonly<Record<string, Series>>, end: number, more = 0): AlarmState {
  const metrics = metricsOf(alarm);
  const periods = [...new Set(Object.values(metrics).map(({ Period }) => Period))];
  const [period = 0] = periods;
  if (periods.length !== 1) throw new Error(`an alarm's metrics need one period, and have ${periods.join(', ')}`);
  const series: Record<string, Series> = {};
  for (const [id, { Stat }] of Object.entries(metrics)) {
    series[id] = pointsOf(minutes[id] ?? [], Stat, period / 60, end, alarm.EvaluationPeriods + more);
  }
  let watched = series.metric;
  for (const { Id, Expression, ReturnData = true } of alarm.Metrics ?? []) {
    if (Expression !== undefined) series[Id] = evaluate(Expression, series, period);
    if (!ReturnData) continue;
    if (watched) throw new Error('an alarm watches one series only');
    watched = series[Id];
  }
  return judge(alarm, watched ?? []);
}

function pointsOf(minutes: Series, stat: string, length: number, end: number, count: number): Series {
  return Array.from({ length: count }, (_, index) => {
    const from = end - (count - index) * length;
    const values = minutes.slice(Math.max(0, from), Math.max(0, from + length)).filter((value) => value !== undefined);
    if (values.length === 0) return undefined;
    if (stat === 'Maximum') return Math.max(...values);
    if (stat === 'Sum') return values.reduce((sum, value) => sum + value);
    throw new Error(`${stat} is a statistic that is unknown here`);
  });
}

function judge(alarm: Alarm, points: Series): AlarmState {
  const { ComparisonOperator, Threshold, TreatMissingData, EvaluationPeriods, DatapointsToAlarm } = alarm;
  if (ComparisonOperator !== 'GreaterThanThreshold') throw new Error(`${ComparisonOperator} is unknown here`);
  if (TreatMissingData !== 'notBreaching' && TreatMissingData !== 'missing') {
    throw new Error(`missing data are ${TreatMissingData}, which is unknown here`);
  }
  const existing = points.filter((value) => value !== undefined).slice(-EvaluationPeriods);
  if (existing.length === 0) return TreatMissingData === 'missing' ? 'INSUFFICIENT_DATA' : 'OK';
  const breaching = existing.filter((value) => value > Threshold).length;
  return breaching >= (DatapointsToAlarm ?? EvaluationPeriods) ? 'ALARM' : 'OK';
}
