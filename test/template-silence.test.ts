import { describe, expect, it } from 'vitest';
import { type Alarm, type AlarmState, metricsOf, stateOf } from './helpers/alarm.ts';
import { finds } from './helpers/log-pattern.ts';
import { deploy, ofType, propertiesOf } from './helpers/stack.ts';

const stack = deploy({ AutoScalingGroupName: 'web' });
const alarm = propertiesOf<Alarm>(stack, 'SilenceAlarm');

const HOUR = 60;
const DAY = 24 * HOUR;

/** Minutes of what CloudWatch knows about the group. */
type History = Record<'leaving' | 'done', (number | undefined)[]>;

/** A scale-in, in minutes. */
interface ScaleIn {
  readonly at: number;
  readonly instances?: number;
  /** From the first minute in which Auto Scaling reports them as terminating to the last. */
  readonly lasts: number;
  /** From that first minute to the first tag; may be negative. None: nothing was tagged. */
  readonly tagAfter?: number;
}

function history(length: number, ...scaleIns: readonly ScaleIn[]): History {
  const made: History = { leaving: Array(length).fill(0), done: Array(length).fill(undefined) };
  for (const { at, instances = 1, lasts, tagAfter } of scaleIns) {
    for (let minute = at; minute < at + lasts; minute += 1)
      made.leaving[minute] = (made.leaving[minute] ?? 0) + instances;
    if (tagAfter === undefined) continue;
    // EC2 lets 100 be tagged at once and then 10 each second.
    for (let minute = at + tagAfter, left = instances, now = 640; left > 0; minute += 1, left -= now, now = 600) {
      made.done[minute] = (made.done[minute] ?? 0) + Math.min(left, now);
    }
  }
  return made;
}

const MORE = [0, 1, 5];

/** When it rings, in minutes, with the window sliding each minute or aligned to the hour. */
function rings(made: History, step: number, more = 0): number[] {
  const states = new Map<number, AlarmState>();
  for (let end = step; end <= made.leaving.length; end += step) states.set(end, stateOf(alarm, made, end, more));
  return [...states].filter(([, state]) => state === 'ALARM').map(([end]) => end);
}

// With a window that slides it does not matter in which minute of the hour something begins.
const WINDOWS: [string, number, number[]][] = [
  ['sliding', 1, [8 * HOUR]],
  ['aligned', HOUR, Array.from({ length: HOUR }, (_, minute) => 8 * HOUR + minute)],
];

// An instance without a hook is gone within a minute or two, of which Auto Scaling may see one.
const NO_HOOK = { lasts: 1 };

describe.each(WINDOWS)('the silence alarm, its window %s', (_, step, starts) => {
  it('rings within two hours when the hook is gone, and for an hour or longer', () => {
    for (const at of starts) {
      const rung = rings(history(DAY, { at, ...NO_HOOK }), step);
      expect(rung[0], `minute ${at}`).toBeLessThanOrEqual(at + 2 * HOUR);
      expect(rung.length * step, `minute ${at}`).toBeGreaterThanOrEqual(HOUR);
      expect(rung.at(-1), `minute ${at}`).toBeLessThanOrEqual(at + 3 * HOUR);
    }
  });

  it('rings although the last scale-in of the same day was tagged', () => {
    const made = history(DAY, { at: 6 * HOUR, lasts: 6, tagAfter: 0 }, { at: 12 * HOUR, ...NO_HOOK });
    expect(rings(made, step)[0]).toBeGreaterThan(12 * HOUR);
  });

  it('rings while a group without its hook scales in every few minutes', () => {
    const scaleIns = Array.from({ length: 100 }, (_, index) => ({ at: 6 * HOUR + 7 * index, ...NO_HOOK }));
    expect(rings(history(DAY, ...scaleIns), step).length * step).toBeGreaterThan(10 * HOUR);
  });

  const ordinary: [string, Omit<ScaleIn, 'at'>][] = [
    ['an ordinary scale-in', { lasts: 6, tagAfter: 0 }],
    ['one whose tag comes before Auto Scaling reports it', { lasts: 6, tagAfter: -2 }],
    ['one whose first tag comes with the last try', { lasts: 12, tagAfter: 9 }],
    ['one that another load balancer drains before the hook', { lasts: 66, tagAfter: 59 }],
    ['1000 instances at once', { instances: 1000, lasts: 10, tagAfter: 0 }],
    ['a heartbeat timeout of two hours', { lasts: 122, tagAfter: 0 }],
    ['a heartbeat timeout of two hours, and an hour to shut down', { lasts: 180, tagAfter: -1 }],
  ];

  it.each(ordinary)('does not ring for %s, in whichever minute of the hour it begins', (_, scaleIn) => {
    for (const at of starts) {
      for (const more of MORE) {
        expect(rings(history(20 * HOUR, { at, ...scaleIn }), step, more), `minute ${at}, ${more} more`).toEqual([]);
      }
    }
  });

  it('does not ring for one scale-in after the other', () => {
    const scaleIns = Array.from({ length: 12 }, (_, index) => ({ at: 6 * HOUR + 50 * index, lasts: 125, tagAfter: 0 }));
    expect(rings(history(DAY, ...scaleIns), step)).toEqual([]);
  });

  it('does not ring where the group did not report for two hours, though a tag may have been set in them', () => {
    for (let gap = 7 * HOUR; gap < 12 * HOUR; gap += 30) {
      const made = history(DAY, { at: 8 * HOUR, lasts: 122, tagAfter: 0 });
      made.leaving.fill(undefined, gap, gap + 2 * HOUR);
      for (const more of MORE) expect(rings(made, step, more), `minute ${gap}, ${more} more`).toEqual([]);
    }
  });

  it('lacks data while the group does not report its metrics, or has only begun to', () => {
    const made = history(DAY, { at: 8 * HOUR, lasts: 6, tagAfter: 0 });
    made.leaving.fill(undefined, 0, 20 * HOUR);
    expect(stateOf(alarm, made, 12 * HOUR)).toBe('INSUFFICIENT_DATA');
    expect(stateOf(alarm, made, 22 * HOUR)).toBe('INSUFFICIENT_DATA');
    expect(stateOf(alarm, history(DAY), DAY)).toBe('OK');
  });
});

describe('the silence alarm', () => {
  it('looks at the instances of the group that are terminating', () => {
    expect(metricsOf(alarm).leaving?.Metric).toEqual({
      Namespace: 'AWS/AutoScaling',
      MetricName: 'GroupTerminatingInstances',
      Dimensions: [{ Name: 'AutoScalingGroupName', Value: 'web' }],
    });
  });

  it("looks at what the function logged about this group's instances, and not another's", () => {
    const { Metric } = metricsOf(alarm).done ?? {};
    const filters = ofType<{ FilterPattern: string; MetricTransformations: [{ MetricName: string }] }>(
      stack,
      'AWS::Logs::MetricFilter',
    );
    const [filter, ...others] = Object.values(filters).filter(
      ({ MetricTransformations: [{ MetricName }] }) => MetricName === Metric?.MetricName,
    );
    expect(others).toEqual([]);
    expect(filter).toMatchObject({
      LogGroupName: 'LogGroup',
      MetricTransformations: [{ MetricNamespace: Metric?.Namespace, MetricValue: '1', Unit: 'Count' }],
    });
    const found = (outcome: string, autoScalingGroupName?: string) =>
      finds(filter?.FilterPattern ?? '', { message: { outcome, autoScalingGroupName } });
    const outcomes = ['tagged', 'gone', 'untagged', 'ignored', 'failed'];
    expect(outcomes.map((outcome) => found(outcome, 'web'))).toEqual([true, true, false, false, false]);
    expect([found('tagged', 'web2'), found('gone', 'other'), found('tagged')]).toEqual([false, false, false]);
  });

  it('is made, and its metric paid for, only with the name of a group', () => {
    for (const id of ['SilenceAlarm', 'GroupTaggedOrGoneMetric']) expect(deploy().resources).not.toHaveProperty(id);
  });
});
