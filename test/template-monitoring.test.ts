import { describe, expect, it } from 'vitest';
import './helpers/ec2.ts';
import { event, eventWith } from './helpers/event.ts';
import { invoke } from './helpers/invoke.ts';
import { deploy, ofType, propertiesOf } from './helpers/stack.ts';

const stack = deploy();

interface MetricFilter {
  readonly LogGroupName: string;
  readonly FilterPattern: string;
  readonly MetricTransformations: readonly [
    { readonly MetricValue: string; readonly Dimensions?: readonly { readonly Key: string; readonly Value: string }[] },
  ];
}

describe('the metrics', () => {
  const messages = propertiesOf<MetricFilter>(stack, 'MessagesMetric');
  const tagDelay = propertiesOf<MetricFilter>(stack, 'TagDelayMetric');

  /** The fields of the log line that the function writes for an event. Lambda puts the line under `message`. */
  async function fieldsOf(sns: unknown): Promise<Map<string, unknown>> {
    const [{ line = {} } = {}] = (await invoke(sns)).log;
    return new Map(Object.entries(line).map(([name, value]) => [`$.message.${name}`, value]));
  }

  /** Whether a pattern of comparisons with a text or with `*` finds a log line. */
  function finds({ FilterPattern }: MetricFilter, fields: Map<string, unknown>): boolean {
    const comparisons = FilterPattern.slice(2, -2).split(' && ');
    return comparisons.every((comparison) => {
      const [field = '', text] = comparison.replaceAll('"', '').split(' = ');
      return text === '*' ? fields.has(field) : fields.get(field) === text;
    });
  }

  it.each([
    ['tagged', event('terminating')],
    ['untagged', event('launching-from-warm-pool')],
    ['ignored', event('test-notification')],
    ['failed', event('not-json')],
  ])('count every message by its outcome: %s', async (outcome, sns) => {
    const fields = await fieldsOf(sns);
    expect(finds(messages, fields)).toBe(true);
    const [{ Dimensions, ...transformation }] = messages.MetricTransformations;
    expect(transformation).toMatchObject({ MetricName: 'Messages', MetricValue: '1', Unit: 'Count' });
    expect(Dimensions).toEqual([{ Key: 'Outcome', Value: '$.message.outcome' }]);
    expect(fields.get('$.message.outcome')).toBe(outcome);
    // The delay of a tag that is cleared concerns nobody.
    expect(finds(tagDelay, fields)).toBe(outcome === 'tagged');
  });

  it('measure the milliseconds from the message to the tag, if the message has a time', async () => {
    const [{ MetricValue, ...transformation }] = tagDelay.MetricTransformations;
    expect(transformation).toMatchObject({ MetricName: 'TagDelay', Unit: 'Milliseconds' });
    expect((await fieldsOf(event('terminating'))).get(MetricValue)).toEqual(expect.any(Number));
    expect(finds(tagDelay, await fieldsOf(eventWith('terminating', { Time: undefined })))).toBe(false);
  });

  it('come from the log of the function, in JSON and down to INFO, and are named after the stack', () => {
    expect(propertiesOf(stack, 'Function')).toMatchObject({
      LoggingConfig: { LogGroup: 'LogGroup', LogFormat: 'JSON', ApplicationLogLevel: 'INFO' },
    });
    for (const filter of [messages, tagDelay]) {
      const MetricTransformations = [{ MetricNamespace: 'remove-from-lb' }];
      expect(filter).toMatchObject({ LogGroupName: 'LogGroup', MetricTransformations });
    }
  });
});

it('the log and the failure queue go with the stack, and also when they are replaced', () => {
  const kept = Object.entries(stack.resources).filter(([, { DeletionPolicy }]) => DeletionPolicy !== undefined);
  expect(kept).toMatchObject([
    ['LogGroup', { DeletionPolicy: 'Delete', UpdateReplacePolicy: 'Delete' }],
    ['FailureQueue', { DeletionPolicy: 'Delete', UpdateReplacePolicy: 'Delete' }],
  ]);
});

it('the log is kept for as long as the parameter says', () => {
  expect(propertiesOf(deploy({ LogRetentionDays: 7 }), 'LogGroup')).toEqual({ RetentionInDays: 7 });
});

interface Alarm {
  readonly Metrics: readonly Readonly<Record<string, unknown>>[];
  readonly EvaluationPeriods: number;
  readonly DatapointsToAlarm?: number;
  readonly Threshold: number;
  readonly TreatMissingData: string;
}

/** The metrics that an alarm reads, and the one expression that the alarm judges. */
function metricsOf({ Metrics }: Alarm) {
  return Object.fromEntries(
    Metrics.map(({ Id, ReturnData = true, MetricStat, Expression }) => [Id, ReturnData ? Expression : MetricStat]),
  );
}

/**
 * Whether an alarm rings after some minutes, each with its value.
 * @param before the state before, which missing data can keep.
 */
function rings(alarm: Alarm, minutes: readonly (number | undefined)[], before = false): boolean {
  expect(alarm).toMatchObject({ ComparisonOperator: 'GreaterThanThreshold' });
  const { EvaluationPeriods, DatapointsToAlarm = EvaluationPeriods, Threshold } = alarm;
  const known = minutes.slice(-EvaluationPeriods).filter((value) => value !== undefined);
  if (known.filter((value) => value > Threshold).length >= DatapointsToAlarm) return true;
  return alarm.TreatMissingData === 'ignore' && known.length === 0 && before;
}

const NO_DATA = Array<undefined>(9).fill(undefined);
const FUNCTION = [{ Name: 'FunctionName', Value: 'Function' }];
const QUEUE = [{ Name: 'QueueName', Value: 'FailureQueue.QueueName' }];

function metric(Namespace: string, MetricName: string, Dimensions: unknown, Stat: string) {
  return { Metric: { Namespace, MetricName, Dimensions }, Stat, Period: 60 };
}

// Lambda gives an error the time at which its call started, so good calls may come into CloudWatch before the error.
const { Timeout } = propertiesOf<{ Timeout: number }>(stack, 'Function');
const good = Array<number>(Math.ceil(Timeout / 60) + 1).fill(0);

function expectRingsAt(alarm: Alarm, value: number) {
  expect(rings(alarm, [value, ...NO_DATA.slice(0, good.length)])).toBe(true);
  expect(rings(alarm, [value, ...good])).toBe(true);
  expect(rings(alarm, [value, ...good, ...good], true)).toBe(false);
  expect(rings(alarm, [value, ...NO_DATA], true)).toBe(false);
}

describe('the alarms', () => {
  it.each([
    ['ErrorsAlarm', 'Errors'],
    ['ThrottlesAlarm', 'Throttles'],
    ['DroppedEventsAlarm', 'AsyncEventsDropped'],
  ])('%s rings at the first %s of the function, also at a late one, and ends', (id, MetricName) => {
    const alarm = propertiesOf<Alarm>(stack, id);
    const errors = { Namespace: 'AWS/Lambda', MetricName, Dimensions: FUNCTION, Statistic: 'Sum', Period: 60 };
    expect(alarm).toMatchObject(errors);
    expect(rings(alarm, good)).toBe(false);
    expectRingsAt(alarm, 1);
  });

  it('FailureQueueAlarm rings while a message stays in the queue, also while somebody reads the message', () => {
    const alarm = propertiesOf<Alarm>(stack, 'FailureQueueAlarm');
    expect(metricsOf(alarm)).toEqual({
      visible: metric('AWS/SQS', 'ApproximateNumberOfMessagesVisible', QUEUE, 'Maximum'),
      hidden: metric('AWS/SQS', 'ApproximateNumberOfMessagesNotVisible', QUEUE, 'Maximum'),
      all: 'visible + hidden',
    });
    expect(rings(alarm, [1, 1, 1])).toBe(true);
    expect(rings(alarm, [1, 1, 1, 0], true)).toBe(false);
    // SQS approximates, so a single sample may be wrong.
    expect(rings(alarm, [0, 1, 0, 0, 1, 1])).toBe(false);
    // SQS stops its metrics after six hours without access.
    expect(rings(alarm, [1, ...NO_DATA], true)).toBe(true);
  });

  it.each([60, 7200])('LateTagAlarm rings at a tag later than half of a heartbeat timeout of %d s', (seconds) => {
    const alarm = propertiesOf<Alarm>(deploy({ HeartbeatTimeout: seconds }), 'LateTagAlarm');
    const delay = metric('remove-from-lb', 'TagDelay', undefined, 'Maximum');
    expect(metricsOf(alarm)).toEqual({ delay, share: `delay / 1000 / ${seconds}` });
    expect(rings(alarm, [0.5])).toBe(false);
    expectRingsAt(alarm, 0.51);
  });

  it.each([
    ['', 'Topic.TopicName'],
    ['arn:aws:sns:us-west-2:123456789012:existing', 'existing'],
  ])('LostMessagesAlarm rings for each message that no queue gets, with the topic "%s"', (TopicArn, name) => {
    const alarm = propertiesOf<Alarm>(deploy({ TopicArn }), 'LostMessagesAlarm');
    const topic = [{ Name: 'TopicName', Value: name }];
    expect(metricsOf(alarm)).toEqual({
      unreadable: metric('AWS/SNS', 'NumberOfNotificationsFilteredOut-InvalidMessageBody', topic, 'Sum'),
      undelivered: metric('AWS/SNS', 'NumberOfNotificationsFailedToRedriveToDlq', topic, 'Sum'),
      failed: metric('AWS/Lambda', 'DestinationDeliveryFailures', FUNCTION, 'Sum'),
      all: 'unreadable + undelivered + failed',
    });
    expect(rings(alarm, good)).toBe(false);
    expectRingsAt(alarm, 1);
  });

  it('notify the given topic when they ring and when they end, and nobody by default', () => {
    const alarmsOf = (parameters = {}) => Object.values(ofType(deploy(parameters), 'AWS::CloudWatch::Alarm'));
    const AlarmTopicArn = 'arn:aws:sns:us-west-2:123456789012:on-call';
    const notified = { AlarmActions: [AlarmTopicArn], OKActions: [AlarmTopicArn] };
    expect(alarmsOf({ AlarmTopicArn })).toMatchObject(Array(6).fill(notified));
    for (const alarm of alarmsOf()) {
      expect(alarm).not.toHaveProperty('AlarmActions');
      expect(alarm).not.toHaveProperty('OKActions');
    }
  });
});
