import { beforeAll, describe, expect, it } from 'vitest';
import { bundle } from '../scripts/bundle.ts';
import { startEc2Endpoint } from '../scripts/local-aws/ec2-endpoint.ts';
import { startLambda } from '../scripts/local-aws/lambda.ts';
import type { LogEntry } from '../scripts/local-aws/lambda-process.ts';
import { type Alarm, metricsOf, statesOf } from './helpers/alarm.ts';
import { event } from './helpers/event.ts';
import { finds, select } from './helpers/log-pattern.ts';
import { deploy, ofType, propertiesOf } from './helpers/stack.ts';

interface MetricFilter {
  readonly LogGroupName: string;
  readonly FilterPattern: string;
  readonly MetricTransformations: readonly [
    {
      readonly MetricNamespace: string;
      readonly MetricName: string;
      readonly MetricValue: string;
      readonly Unit: string;
      readonly Dimensions?: readonly { readonly Key: string; readonly Value: string }[];
    },
  ];
}

const stack = deploy();

describe('the metrics', () => {
  /** Lines that the function really logged, by their outcome. */
  const logged = new Map<string, LogEntry>();

  beforeAll(async () => {
    const endpoint = await startEc2Endpoint();
    const credentials = { AWS_ACCESS_KEY_ID: 'local', AWS_SECRET_ACCESS_KEY: 'local' };
    const lambda = await startLambda((await bundle()).zip, {
      environment: { AWS_ENDPOINT_URL: endpoint.url, ...credentials },
    });
    try {
      endpoint.instances.set('i-05629ab7d9287e205', { tags: new Map() });
      for (const sns of [
        event('terminating'),
        event('launching-from-warm-pool'),
        event('test-notification'),
        event('not-json'),
      ]) {
        const { log } = await lambda.invoke(sns);
        for (const entry of log) logged.set(String(select(entry, '$.message.outcome')), entry);
      }
    } finally {
      await lambda.stop();
      await endpoint.close();
    }
  });

  const messages = propertiesOf<MetricFilter>(stack, 'MessagesMetric');
  const tagDelay = propertiesOf<MetricFilter>(stack, 'TagDelayMetric');

  it('count every message by its outcome', () => {
    const [{ Dimensions = [], ...transformation }] = messages.MetricTransformations;
    expect(transformation).toMatchObject({ MetricName: 'Messages', MetricValue: '1', Unit: 'Count' });
    expect(Dimensions.map(({ Key }) => Key)).toEqual(['Outcome']);
    const lines = [...logged.values()].filter((line) => finds(messages.FilterPattern, line));
    const outcomes = lines.map((line) => select(line, Dimensions[0]?.Value ?? ''));
    expect(outcomes.sort()).toEqual(['failed', 'ignored', 'tagged', 'untagged']);
    expect(finds(messages.FilterPattern, { type: 'platform.report' })).toBe(false);
  });

  it('measure the milliseconds from the message to the tag', () => {
    const lines = [...logged.values()].filter((line) => finds(tagDelay.FilterPattern, line));
    expect(lines).toEqual([logged.get('tagged')]);
    const [{ MetricName, MetricValue, Unit }] = tagDelay.MetricTransformations;
    expect([MetricName, Unit]).toEqual(['TagDelay', 'Milliseconds']);
    // The Time of the message in the event file.
    const sinceMessage = Date.now() - Date.parse('2024-03-23T03:26:43.904Z');
    expect(Math.round(Number(select(lines[0], MetricValue)) / sinceMessage)).toBe(1);
  });

  it('have no delay for a message without a valid time', () => {
    expect(finds(tagDelay.FilterPattern, { message: { outcome: 'tagged' } })).toBe(false);
  });

  it('come from the log of the function, in JSON and down to INFO, and are named after the stack', () => {
    expect(propertiesOf(stack, 'Function')).toMatchObject({
      LoggingConfig: { LogGroup: 'LogGroup', LogFormat: 'JSON', ApplicationLogLevel: 'INFO' },
    });
    for (const { LogGroupName, MetricTransformations } of [messages, tagDelay]) {
      expect(LogGroupName).toBe('LogGroup');
      expect(MetricTransformations).toMatchObject([{ MetricNamespace: 'remove-from-lb' }]);
    }
  });
});

it('the log is kept for as long as the parameter says', () => {
  expect(propertiesOf(deploy({ LogRetentionDays: 7 }), 'LogGroup')).toEqual({ RetentionInDays: 7 });
});

const FUNCTION = [{ Name: 'FunctionName', Value: 'Function' }];
const QUEUE = [{ Name: 'QueueName', Value: 'FailureQueue.QueueName' }];

/** An alarm's metric with its statistic for each minute. */
function metric(Namespace: string, MetricName: string, Dimensions: unknown, Stat: string) {
  return { Metric: { Namespace, MetricName, Dimensions }, Stat, Period: 60 };
}

// Lambda gives an error the time at which its call started.
const { Timeout } = propertiesOf<{ Timeout: number }>(stack, 'Function');
const late = Math.ceil(Timeout / 60) + 1;

/** The states of an alarm when one value comes late, and every other minute has the value 0. */
function statesWith(alarm: Alarm, id: string, value: number) {
  return statesOf(alarm, { [id]: [0, { value, late }, 0, 0, 0, 0, 0] });
}

describe('the alarms', () => {
  it.each([
    ['ErrorsAlarm', 'Errors'],
    ['ThrottlesAlarm', 'Throttles'],
    ['DroppedEventsAlarm', 'AsyncEventsDropped'],
  ])('%s rings at the first value of %s, also at a late value, and ends', (id, name) => {
    const alarm = propertiesOf<Alarm>(stack, id);
    expect(metricsOf(alarm)).toEqual({ metric: metric('AWS/Lambda', name, FUNCTION, 'Sum') });
    const states = statesOf(alarm, { metric: [undefined, 0, 1, ...Array<undefined>(5)] });
    expect(states).toEqual(['OK', 'OK', ...Array<string>(5).fill('ALARM'), 'OK']);
    expect(statesWith(alarm, 'metric', 1)).toEqual(['OK', 'OK', 'OK', 'OK', 'ALARM', 'ALARM', 'OK']);
  });

  describe('FailureQueueAlarm', () => {
    const alarm = propertiesOf<Alarm>(stack, 'FailureQueueAlarm');
    const minutes = (count: number, value: number | undefined) => Array<number | undefined>(count).fill(value);

    it('counts the visible messages and the messages that somebody reads', () => {
      expect(metricsOf(alarm)).toEqual({
        visible: metric('AWS/SQS', 'ApproximateNumberOfMessagesVisible', QUEUE, 'Maximum'),
        hidden: metric('AWS/SQS', 'ApproximateNumberOfMessagesNotVisible', QUEUE, 'Maximum'),
      });
    });

    it('rings when a message stays, does not end while somebody reads it, and ends when the queue is empty', () => {
      const states = statesOf(alarm, { visible: [0, 1, 1, 1, 0, 1, 0], hidden: [0, 0, 0, 0, 1, 1, 0] });
      expect(states.slice(2)).toEqual(['OK', 'ALARM', 'ALARM', 'ALARM', 'OK']);
    });

    it('does not ring for a single sample that SQS approximates wrongly', () => {
      const states = statesOf(alarm, { visible: minutes(9, 0), hidden: [0, 0, 1, 0, 0, 1, 1, 0, 0] });
      expect(states).not.toContain('ALARM');
    });

    it('does not end because SQS stops its metrics after six hours without access', () => {
      const states = statesOf(alarm, { visible: [...minutes(9, 1), ...minutes(60, undefined)], hidden: minutes(9, 0) });
      expect(states.at(-1)).toBe('ALARM');
    });
  });

  it.each([60, 300, 7200])('LateTagAlarm rings at a tag later than half of a heartbeat timeout of %d s', (seconds) => {
    const alarm = propertiesOf<Alarm>(deploy({ HeartbeatTimeout: seconds }), 'LateTagAlarm');
    expect(metricsOf(alarm)).toEqual({ delay: metric('remove-from-lb', 'TagDelay', undefined, 'Maximum') });
    const half = (seconds * 1000) / 2;
    expect(statesOf(alarm, { delay: [undefined, half, half + 1, undefined] })).toEqual(['OK', 'OK', 'ALARM', 'ALARM']);
    expect(statesWith(alarm, 'delay', half + 1)).toContain('ALARM');
  });

  it.each([
    ['', 'Topic.TopicName'],
    ['arn:aws:sns:us-west-2:123456789012:existing', 'existing'],
  ])('LostMessagesAlarm rings for each message that no queue gets, with the topic "%s"', (TopicArn, name) => {
    const alarm = propertiesOf<Alarm>(deploy({ TopicArn }), 'LostMessagesAlarm');
    const topic = [{ Name: 'TopicName', Value: name }];
    const metrics = metricsOf(alarm);
    expect(Object.values(metrics)).toEqual([
      metric('AWS/SNS', 'NumberOfNotificationsFilteredOut-InvalidMessageBody', topic, 'Sum'),
      metric('AWS/SNS', 'NumberOfNotificationsFailedToRedriveToDlq', topic, 'Sum'),
      metric('AWS/Lambda', 'DestinationDeliveryFailures', FUNCTION, 'Sum'),
    ]);
    for (const id of Object.keys(metrics)) {
      expect(statesOf(alarm, { [id]: [undefined, 1] })).toEqual(['OK', 'ALARM']);
      expect(statesWith(alarm, id, 1)).toContain('ALARM');
    }
  });

  const AlarmTopicArn = 'arn:aws:sns:us-west-2:123456789012:on-call';

  it('notify the given topic when they ring and when they end', () => {
    const alarms = Object.values(ofType<Alarm>(deploy({ AlarmTopicArn }), 'AWS::CloudWatch::Alarm'));
    expect(alarms).toHaveLength(6);
    for (const alarm of alarms)
      expect(alarm).toMatchObject({ AlarmActions: [AlarmTopicArn], OKActions: [AlarmTopicArn] });
  });

  it('notify nobody by default', () => {
    for (const alarm of Object.values(ofType(stack, 'AWS::CloudWatch::Alarm'))) {
      expect(alarm).not.toHaveProperty('AlarmActions');
      expect(alarm).not.toHaveProperty('OKActions');
    }
  });
});
