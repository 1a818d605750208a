import { type CloudWatchClient, GetMetricDataCommand } from '@aws-sdk/client-cloudwatch';
import { GetQueueAttributesCommand, type SQSClient } from '@aws-sdk/client-sqs';
import { awsCommand, quoted } from './aws-command.ts';
import { examine, isNamed, type Link, reasonOf } from './link.ts';
import type { Stack } from './stack.ts';

// Takes either envelope, Lambda's and SNS's, and prints neither the lifecycle action's token nor the whole message.
const NAMES =
  `.Messages[].Body | fromjson | (.requestPayload.Records[0].Sns // .Records[0].Sns? // .) | .Message | fromjson? |
  [.LifecycleTransition // .Event, .EC2InstanceId, .AutoScalingGroupName, .Time] | @tsv`.replace(/\s+/g, ' ');

/** The queue of the messages that were given up: there, and empty. */
export function checkFailureQueue(
  sqs: SQSClient,
  cloudWatch: CloudWatchClient,
  stack: Stack,
): Promise<readonly Link[]> {
  const { region, failureQueueUrl } = stack;
  return examine('failure queue', null, async (as) => {
    let attributes: Partial<Record<string, string>>;
    try {
      ({ Attributes: attributes = {} } = await sqs.send(
        new GetQueueAttributesCommand({ QueueUrl: failureQueueUrl, AttributeNames: ['All'] }),
      ));
    } catch (error) {
      if (!isNamed(error, 'QueueDoesNotExist', 'AWS.SimpleQueueService.NonExistentQueue')) throw error;
      return as.broken(
        `${failureQueueUrl} is not there: a message that is given up is lost unseen`,
        createCommand(stack),
      );
    }
    const { ApproximateNumberOfMessages: visible, ApproximateNumberOfMessagesNotVisible: inHand } = attributes;
    const count = Number(visible ?? 0) + Number(inHand ?? 0);
    if (count === 0) return as.ok('empty');
    const found = `${count} messages were given up, the oldest ${await age(cloudWatch, stack)}: their instances have no tag, or still have one`;
    const receive = awsCommand(region, 'sqs receive-message', {
      'queue-url': failureQueueUrl,
      'max-number-of-messages': 10,
      'wait-time-seconds': 20,
      output: 'json',
    });
    return as.broken(found, `${receive} | jq -r ${quoted(NAMES)}`);
  });
}

const WINDOW_MS = 60 * 60_000;

async function age(cloudWatch: CloudWatchClient, { failureQueueName }: Stack): Promise<string> {
  try {
    const Metric = {
      Namespace: 'AWS/SQS',
      MetricName: 'ApproximateAgeOfOldestMessage',
      Dimensions: [{ Name: 'QueueName', Value: failureQueueName }],
    };
    const { MetricDataResults: [{ Values: [seconds] = [] } = {}] = [] } = await cloudWatch.send(
      new GetMetricDataCommand({
        StartTime: new Date(Date.now() - WINDOW_MS),
        EndTime: new Date(),
        ScanBy: 'TimestampDescending',
        MetricDataQueries: [{ Id: 'age', MetricStat: { Metric, Stat: 'Maximum', Period: 60 } }],
      }),
    );
    return seconds === undefined ? 'of an age that CloudWatch does not show yet' : `${seconds} s old`;
  } catch (error) {
    return `of unknown age (${reasonOf(error)})`;
  }
}

function createCommand({ region, failureQueueName, failureQueueArn, topicArn }: Stack): string {
  const policy = {
    Version: '2012-10-17',
    Statement: [
      {
        Sid: 'RedriveFromTopic',
        Effect: 'Allow',
        Principal: { Service: 'sns.amazonaws.com' },
        Action: 'sqs:SendMessage',
        Resource: failureQueueArn,
        Condition: { ArnEquals: { 'aws:SourceArn': topicArn } },
      },
    ],
  };
  return awsCommand(region, 'sqs create-queue', {
    'queue-name': failureQueueName,
    attributes: {
      MessageRetentionPeriod: '1209600',
      SqsManagedSseEnabled: 'true',
      Policy: JSON.stringify(policy),
    },
  });
}
