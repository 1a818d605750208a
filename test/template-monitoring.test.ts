import { beforeAll, describe, expect, it } from 'vitest';
import { bundle } from '../scripts/bundle.ts';
import { startEc2Endpoint } from '../scripts/local-aws/ec2-endpoint.ts';
import { startLambda } from '../scripts/local-aws/lambda.ts';
import type { LogEntry } from '../scripts/local-aws/lambda-process.ts';
import { type Alarm, metricsOf, stateOf } from './helpers/alarm.ts';
import { event, eventWith } from './helpers/event.ts';
import { finds, select } from './helpers/log-pattern.ts';
import { deploy, ofType, propertiesOf } from './helpers/stack.ts';

interface MetricFilter {
  readonly LogGroupName: string;
  readonly FilterPattern: string;
  readonly MetricTransformations: readonly [
    { readonly MetricNamespace: string; readonly MetricName: string; readonly MetricValue: string },
  ];
}

const stack = deploy();
const filters = Object.values(ofType<MetricFilter>(stack, 'AWS::Logs::MetricFilter'));
const nameOf = ({ MetricTransformations: [{ MetricName }] }: MetricFilter) => MetricName;

describe('the metrics', () => {
  /** A line of each outcome, as the function really logged it. */
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
        eventWith('terminating', { EC2InstanceId: 'i-00000000000000000' }),
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

  it('have a line of each outcome to be read from', () => {
    expect([...logged.keys()].sort()).toEqual(['failed', 'gone', 'ignored', 'tagged', 'untagged']);
  });

  it.each(['Tagged', 'Untagged', 'Ignored', 'Gone', 'Failed'])('%s counts the lines of that outcome', (name) => {
    const [filter, ...others] = filters.filter((candidate) => nameOf(candidate) === name);
    expect(others).toEqual([]);
    const found = [...logged].filter(([, line]) => finds(filter?.FilterPattern ?? '', line));
    expect(found.map(([outcome]) => outcome)).toEqual([name.toLowerCase()]);
    expect(filter?.MetricTransformations).toEqual([expect.objectContaining({ MetricValue: '1', Unit: 'Count' })]);
  });

  it('TagDelay is the number of milliseconds from the message to the tag', () => {
    const [filter] = filters.filter((candidate) => nameOf(candidate) === 'TagDelay');
    const found = [...logged.values()].filter((line) => finds(filter?.FilterPattern ?? '', line));
    expect(found).toEqual([logged.get('tagged')]);
    const [{ MetricValue, ...transformation }] = filter?.MetricTransformations ?? [{ MetricValue: '' }];
    expect(transformation).toMatchObject({ Unit: 'Milliseconds' });
    // The Time of the message in the event file.
    const sinceMessage = Date.now() - Date.parse('2024-03-23T03:26:43.904Z');
    const held = Number(select(found[0], MetricValue));
    expect(Math.round(held / sinceMessage)).toBe(1);
  });

  it('TagDelay skips a message whose time cannot be read', () => {
    const [filter] = filters.filter((candidate) => nameOf(candidate) === 'TagDelay');
    expect(finds(filter?.FilterPattern ?? '', { message: { outcome: 'tagged' } })).toBe(false);
  });

  it('are read from the log of the function, in JSON and down to INFO, and named after the stack', () => {
    expect(propertiesOf(stack, 'Function')).toMatchObject({
      LoggingConfig: { LogGroup: 'LogGroup', LogFormat: 'JSON', ApplicationLogLevel: 'INFO' },
    });
    expect(filters).toHaveLength(6);
    for (const { LogGroupName, MetricTransformations } of filters) {
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
    ['ErrorsAlarm', 'AWS/Lambda', 'Errors', FUNCTION, 'Sum'],
    ['ThrottlesAlarm', 'AWS/Lambda', 'Throttles', FUNCTION, 'Sum'],
    ['DroppedEventsAlarm', 'AWS/Lambda', 'AsyncEventsDropped', FUNCTION, 'Sum'],
  ])('%s goes off at the first, and ends a minute later', (id, Namespace, MetricName, Dimensions, Stat) => {
    const alarm = propertiesOf<Alarm>(stack, id);
    expect(metricsOf(alarm)).toEqual({ metric: { Metric: { Namespace, MetricName, Dimensions }, Stat, Period: 60 } });
    const minutes = { metric: [undefined, 0, 1, undefined] };
    expect([1, 2, 3, 4].map((end) => stateOf(alarm, minutes, end))).toEqual(['OK', 'OK', 'ALARM', 'OK']);
  });

  it('FailureQueueAlarm goes off at the first message, and stays on while somebody reads it', () => {
    const alarm = propertiesOf<Alarm>(stack, 'FailureQueueAlarm');
    const metrics = Object.entries(metricsOf(alarm));
    expect(metrics.map(([, { Metric, ...how }]) => ({ ...Metric, ...how }))).toEqual(
      ['ApproximateNumberOfMessagesVisible', 'ApproximateNumberOfMessagesNotVisible'].map((MetricName) => ({
        Namespace: 'AWS/SQS',
        MetricName,
        Dimensions: QUEUE,
        Stat: 'Maximum',
        Period: 60,
      })),
    );
    const [visible = '', hidden = ''] = metrics.map(([name]) => name);
    // None, none that the queue knows of, one that lies there, one that is read, one of each, none.
    const minutes = { [visible]: [undefined, 0, 1, 0, 1, 0], [hidden]: [undefined, 0, 0, 1, 1, 0] };
    const states = [1, 2, 3, 4, 5, 6].map((end) => stateOf(alarm, minutes, end));
    expect(states).toEqual(['OK', 'OK', 'ALARM', 'ALARM', 'ALARM', 'OK']);
  });

  it.each([60, 300, 7200])(
    'LateTagAlarm goes off at a tag later than half of a heartbeat timeout of %d s',
    (seconds) => {
      const alarm = propertiesOf<Alarm>(deploy({ HeartbeatTimeout: seconds }), 'LateTagAlarm');
      const half = (seconds * 1000) / 2;
      const [[name = '', metric] = []] = Object.entries(metricsOf(alarm));
      expect(metric).toEqual({
        Metric: { Namespace: 'remove-from-lb', MetricName: 'TagDelay' },
        Stat: 'Maximum',
        Period: 60,
      });
      const minutes = { [name]: [undefined, half, half + 1, undefined] };
      expect([1, 2, 3, 4].map((end) => stateOf(alarm, minutes, end))).toEqual(['OK', 'OK', 'ALARM', 'OK']);
    },
  );

  const AlarmTopicArn = 'arn:aws:sns:us-west-2:123456789012:on-call';
  const every = ofType<Alarm>(deploy({ AutoScalingGroupName: 'web', AlarmTopicArn }), 'AWS::CloudWatch::Alarm');

  it('are these six, each with a description for whoever gets its message', () => {
    expect(Object.keys(every)).toEqual([
      'ErrorsAlarm',
      'FailureQueueAlarm',
      'DroppedEventsAlarm',
      'ThrottlesAlarm',
      'LateTagAlarm',
      'SilenceAlarm',
    ]);
    for (const alarm of Object.values(every))
      expect(alarm).toHaveProperty('AlarmDescription', expect.stringMatching(/\.$/));
  });

  it('notify the topic that is given when they go off and when they end', () => {
    for (const alarm of Object.values(every)) {
      expect(alarm).toMatchObject({ AlarmActions: [AlarmTopicArn], OKActions: [AlarmTopicArn] });
    }
  });

  it('notify nobody by default', () => {
    for (const alarm of Object.values(ofType(deploy({ AutoScalingGroupName: 'web' }), 'AWS::CloudWatch::Alarm'))) {
      expect(alarm).not.toHaveProperty('AlarmActions');
      expect(alarm).not.toHaveProperty('OKActions');
    }
  });
});
