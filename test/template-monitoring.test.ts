import { beforeAll, describe, expect, it } from 'vitest';
import { startEc2Endpoint } from '../scripts/aws/ec2-endpoint.ts';
import { startLambda } from '../scripts/aws/lambda.ts';
import type { LogEntry } from '../scripts/aws/lambda-process.ts';
import { bundle } from '../scripts/bundle.ts';
import { event, eventWith } from './event.ts';
import { finds, select } from './log-pattern.ts';
import { deploy, ofType, propertiesOf } from './stack.ts';

interface MetricFilter {
  readonly LogGroupName: string;
  readonly FilterPattern: string;
  readonly MetricTransformations: readonly [
    { readonly MetricNamespace: string; readonly MetricName: string; readonly MetricValue: string },
  ];
}

interface Alarm {
  readonly Namespace?: string;
  readonly MetricName?: string;
  readonly Dimensions?: readonly { readonly Name: string; readonly Value: string }[];
  readonly Metrics?: readonly [
    { readonly Id: string; readonly MetricStat: { readonly Metric: object; readonly Stat: string } },
    { readonly Id: string; readonly Expression: string },
  ];
  readonly ComparisonOperator: string;
  readonly Threshold: number;
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

describe('the alarms', () => {
  it.each([
    ['ErrorsAlarm', 'AWS/Lambda', 'Errors', { Name: 'FunctionName', Value: 'Function' }, 'Sum'],
    ['ThrottlesAlarm', 'AWS/Lambda', 'Throttles', { Name: 'FunctionName', Value: 'Function' }, 'Sum'],
    [
      'FailureQueueAlarm',
      'AWS/SQS',
      'ApproximateNumberOfMessagesVisible',
      { Name: 'QueueName', Value: 'FailureQueue.QueueName' },
      'Maximum',
    ],
  ])('%s goes off at the first', (id, Namespace, MetricName, dimension, Statistic) => {
    const alarm = propertiesOf<Alarm>(stack, id);
    expect(alarm).toMatchObject({ Namespace, MetricName, Dimensions: [dimension], Statistic });
    expect([0, 1].map((value) => goesOff(alarm, value))).toEqual([false, true]);
  });

  it.each([60, 300, 7200])(
    'LateTagAlarm goes off at a tag later than half of a heartbeat timeout of %d s',
    (seconds) => {
      const alarm = propertiesOf<Alarm>(deploy({ HeartbeatTimeout: seconds }), 'LateTagAlarm');
      const [delay, share] = alarm.Metrics ?? [];
      expect(delay).toMatchObject({
        MetricStat: { Metric: { Namespace: 'remove-from-lb', MetricName: 'TagDelay' }, Stat: 'Maximum' },
        ReturnData: false,
      });
      const shareOf = (ms: number) => {
        const [first, ...divisors] = share?.Expression.split(' / ') ?? [];
        expect(first).toBe(delay?.Id);
        return divisors.reduce((value, divisor) => value / Number(divisor), ms);
      };
      const half = (seconds * 1000) / 2;
      expect([half, half + 1].map((ms) => goesOff(alarm, shareOf(ms)))).toEqual([false, true]);
    },
  );

  const alarms = Object.entries(ofType<Alarm>(stack, 'AWS::CloudWatch::Alarm'));

  it('are these four', () => {
    expect(alarms.map(([id]) => id)).toEqual(['ErrorsAlarm', 'FailureQueueAlarm', 'ThrottlesAlarm', 'LateTagAlarm']);
  });

  it.each(alarms)(
    '%s takes silence for a good sign, looks at every minute, and tells nobody by default',
    (_, alarm) => {
      expect(alarm).toMatchObject({ TreatMissingData: 'notBreaching', EvaluationPeriods: 1 });
      expect(JSON.stringify(alarm)).toContain('"Period":60');
      expect(alarm).not.toHaveProperty('AlarmActions');
      expect(alarm).not.toHaveProperty('OKActions');
    },
  );

  it('tell the topic that is given when they go off and when they end', () => {
    const AlarmTopicArn = 'arn:aws:sns:us-west-2:123456789012:on-call';
    for (const alarm of Object.values(ofType(deploy({ AlarmTopicArn }), 'AWS::CloudWatch::Alarm'))) {
      expect(alarm).toMatchObject({ AlarmActions: [AlarmTopicArn], OKActions: [AlarmTopicArn] });
    }
  });
});

function goesOff({ ComparisonOperator, Threshold }: Alarm, value: number): boolean {
  if (ComparisonOperator !== 'GreaterThanThreshold') throw new Error(`${ComparisonOperator} is unknown here`);
  return value > Threshold;
}
