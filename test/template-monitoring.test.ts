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

  it('have no delay of a message whose time cannot be read', () => {
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

describe('the alarms', () => {
  it.each([
    ['ErrorsAlarm', 'Errors'],
    ['ThrottlesAlarm', 'Throttles'],
    ['DroppedEventsAlarm', 'AsyncEventsDropped'],
  ])('%s rings at the first %s of the function, and ends', (id, MetricName) => {
    const alarm = propertiesOf<Alarm>(stack, id);
    const Metric = { Namespace: 'AWS/Lambda', MetricName, Dimensions: FUNCTION };
    expect(metricsOf(alarm)).toEqual({ metric: { Metric, Stat: 'Sum', Period: 60 } });
    expect(statesOf(alarm, { metric: [undefined, 0, 1, undefined] })).toEqual(['OK', 'OK', 'ALARM', 'OK']);
  });

  it('FailureQueueAlarm rings at the first message, and does not end while somebody reads it', () => {
    const alarm = propertiesOf<Alarm>(stack, 'FailureQueueAlarm');
    const of = (MetricName: string) => ({
      Metric: { Namespace: 'AWS/SQS', MetricName: `ApproximateNumberOfMessages${MetricName}`, Dimensions: QUEUE },
      Stat: 'Maximum',
      Period: 60,
    });
    expect(metricsOf(alarm)).toEqual({ visible: of('Visible'), hidden: of('NotVisible') });
    const states = statesOf(alarm, { visible: [undefined, 0, 1, 0, 1, 0], hidden: [undefined, 0, 0, 1, 1, 0] });
    expect(states).toEqual(['OK', 'OK', 'ALARM', 'ALARM', 'ALARM', 'OK']);
  });

  it.each([60, 300, 7200])('LateTagAlarm rings at a tag later than half of a heartbeat timeout of %d s', (seconds) => {
    const alarm = propertiesOf<Alarm>(deploy({ HeartbeatTimeout: seconds }), 'LateTagAlarm');
    const Metric = { Namespace: 'remove-from-lb', MetricName: 'TagDelay' };
    expect(metricsOf(alarm)).toEqual({ delay: { Metric, Stat: 'Maximum', Period: 60 } });
    const half = (seconds * 1000) / 2;
    expect(statesOf(alarm, { delay: [undefined, half, half + 1, undefined] })).toEqual(['OK', 'OK', 'ALARM', 'OK']);
  });

  const AlarmTopicArn = 'arn:aws:sns:us-west-2:123456789012:on-call';

  it('notify the given topic when they ring and when they end', () => {
    const alarms = Object.values(ofType<Alarm>(deploy({ AlarmTopicArn }), 'AWS::CloudWatch::Alarm'));
    expect(alarms).toHaveLength(5);
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
