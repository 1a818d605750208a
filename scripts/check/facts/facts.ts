import { readFile } from 'node:fs/promises';
import { type MetricStat, paginateGetMetricData } from '@aws-sdk/client-cloudwatch';
import { paginateDescribeInstances } from '@aws-sdk/client-ec2';
import { type EvaluationResult, GetRoleCommand, paginateSimulatePrincipalPolicy } from '@aws-sdk/client-iam';
import { DescribeKeyCommand, type DescribeKeyResponse, GetKeyPolicyCommand } from '@aws-sdk/client-kms';
import {
  type FunctionConfiguration,
  GetAccountSettingsCommand,
  GetFunctionConcurrencyCommand,
  GetFunctionConfigurationCommand,
  GetFunctionEventInvokeConfigCommand,
  GetPolicyCommand,
} from '@aws-sdk/client-lambda';
import {
  GetSubscriptionAttributesCommand,
  GetTopicAttributesCommand,
  paginateListSubscriptionsByTopic,
} from '@aws-sdk/client-sns';
import { GetQueueAttributesCommand } from '@aws-sdk/client-sqs';
import { parse } from 'yaml';
import { readSettings, type Settings } from '../../../src/settings.ts';
import type { Clients } from '../clients.ts';
import { collect, type Fact, isKnown, read, textOf } from './fact.ts';
import { readAutoScaling } from './groups.ts';
import type { Deployment, Stack } from './stack.ts';

/** Everything that the check reads about a deployed chain. Most facts are AWS's own answers. */
export type Facts = Awaited<ReturnType<typeof readFacts>>;

/**
 * @param named the groups that the user wants to check; when empty, the check finds the groups.
 * @param localSha256 gives the hash of this checkout's bundle, as Lambda's `CodeSha256` shows it.
 */
export async function readFacts(
  clients: Clients,
  deployment: Deployment,
  stack: Stack,
  named: readonly string[],
  localSha256: () => Promise<string>,
) {
  const sns = await readSns(clients, stack);
  const kms = await readKms(clients, isKnown(sns.topic) ? sns.topic.KmsMasterKeyId : undefined);
  const lambda = await readLambda(clients, stack.functionName);
  const settings = isKnown(lambda.function) ? settingsOf(lambda.function) : lambda.function;
  const { TagKey: key = '', TagValue: value = '' } = stack.parameters;
  // The function's tag, or else the stack's.
  const tag = isKnown(settings) && 'tag' in settings ? settings.tag : { key, value };
  const groups = await readAutoScaling(clients, stack, named);
  const hooks = isKnown(groups) ? groups.examined.flatMap((group) => (isKnown(group.hooks) ? group.hooks : [])) : [];
  const ownHooks = hooks.filter(({ NotificationTargetARN }) => NotificationTargetARN === stack.topicArn);
  const roles: Role[] = [];
  for (const roleArn of new Set(ownHooks.flatMap(({ RoleARN }) => RoleARN ?? []))) {
    roles.push(await readIam(clients, roleArn, stack.topicArn, customerKeyArn(kms.key)));
  }
  return {
    deployment,
    stack,
    templateFilter: await readTemplateFilter(),
    bundle: await read(async () => ({ sha256: await localSha256() })),
    ...sns,
    ...kms,
    ...lambda,
    settings,
    failureQueue: await readSqs(clients, stack.failureQueueUrl),
    ...(await readCloudWatch(clients, stack)),
    groups,
    roles,
    tag,
    tagged: await readEc2(clients, tag),
  };
}

async function readSns({ sns: client }: Clients, { topicArn: TopicArn, functionArn }: Stack) {
  const notFound = ['NotFound', 'NotFoundException'];
  return {
    topic: await read(
      async () => attributesOf(await client.send(new GetTopicAttributesCommand({ TopicArn }))),
      ...notFound,
    ),
    subscription: await read(
      async (): Promise<Fact<Attributes>> => {
        const pages = paginateListSubscriptionsByTopic({ client }, { TopicArn });
        const subscriptions = await collect(pages, ({ Subscriptions }) => Subscriptions);
        const own = subscriptions.find(({ Protocol, Endpoint }) => Protocol === 'lambda' && Endpoint === functionArn);
        if (own === undefined) return 'absent';
        const { SubscriptionArn } = own;
        // The list shows this text instead of an ARN.
        if (SubscriptionArn === 'PendingConfirmation') return { PendingConfirmation: 'true' };
        return attributesOf(await client.send(new GetSubscriptionAttributesCommand({ SubscriptionArn })));
      },
      ...notFound,
    ),
  };
}

type Attributes = Readonly<Partial<Record<string, string>>>;

function attributesOf({ Attributes = {} }: { Attributes?: Attributes | undefined }): Attributes {
  return Attributes;
}

/** @param keyId the key that encrypts the topic; undefined when the topic is not encrypted. */
async function readKms({ kms: client }: Clients, keyId: string | undefined) {
  if (!keyId) return { key: 'absent', keyPolicy: 'absent' } as const;
  const key = await read(() => client.send(new DescribeKeyCommand({ KeyId: keyId })), 'NotFoundException');
  // The second call takes no alias.
  const KeyId = isKnown(key) ? key.KeyMetadata?.KeyId : keyId;
  return { key, keyPolicy: await read(() => client.send(new GetKeyPolicyCommand({ KeyId }))) };
}

/** AWS manages the permissions of its own keys. */
function customerKeyArn(key: Fact<DescribeKeyResponse>): string | undefined {
  return isKnown(key) && key.KeyMetadata?.KeyManager === 'CUSTOMER' ? key.KeyMetadata.Arn : undefined;
}

async function readLambda({ lambda: client }: Clients, FunctionName: string) {
  const input = { FunctionName };
  const notFound = 'ResourceNotFoundException';
  return {
    function: await read(() => client.send(new GetFunctionConfigurationCommand(input)), notFound),
    functionPolicy: await read(() => client.send(new GetPolicyCommand(input)), notFound),
    functionEvents: await read(() => client.send(new GetFunctionEventInvokeConfigCommand(input)), notFound),
    concurrency: await read(() => client.send(new GetFunctionConcurrencyCommand(input))),
    account: await read(() => client.send(new GetAccountSettingsCommand())),
  };
}

/** The function's settings, or the error with which the function refuses them. */
function settingsOf({
  Environment: environment,
}: FunctionConfiguration): Fact<Settings | { readonly invalid: string }> {
  // Without permission for the key that encrypts the environment, the answer has an error instead of variables.
  if (environment?.Error) return { unreadable: textOf(new Error(environment.Error.Message)) };
  try {
    return readSettings(environment?.Variables ?? {});
  } catch (error) {
    return { invalid: textOf(error as Error) };
  }
}

function readSqs({ sqs: client }: Clients, QueueUrl: string) {
  return read(
    async () => attributesOf(await client.send(new GetQueueAttributesCommand({ QueueUrl, AttributeNames: ['All'] }))),
    'QueueDoesNotExist',
    'AWS.SimpleQueueService.NonExistentQueue',
  );
}

// CloudWatch keeps periods of five minutes for 63 days.
export const METRIC_DAYS = 62;
const FIVE_MINUTES = 300;
const HOUR_MS = 60 * 60_000;

/** The newest value above 0 of two metrics: instances that were tagged, and the age of the oldest failed message. */
async function readCloudWatch({ cloudWatch: client }: Clients, { name: Namespace, failureQueueName }: Stack) {
  const tagged = { Namespace, MetricName: 'Messages', Dimensions: [{ Name: 'Outcome', Value: 'tagged' }] };
  const age = {
    Namespace: 'AWS/SQS',
    MetricName: 'ApproximateAgeOfOldestMessage',
    Dimensions: [{ Name: 'QueueName', Value: failureQueueName }],
  };
  return {
    lastTagged: await newest(METRIC_DAYS * 24, { Metric: tagged, Stat: 'Sum', Period: FIVE_MINUTES }),
    oldestMessage: await newest(1, { Metric: age, Stat: 'Maximum', Period: 60 }),
  };

  function newest(hours: number, MetricStat: MetricStat) {
    return read(async () => {
      const input = {
        StartTime: new Date(Date.now() - hours * HOUR_MS),
        EndTime: new Date(),
        ScanBy: 'TimestampDescending' as const,
        MetricDataQueries: [{ Id: 'newest', MetricStat }],
      };
      const results = await collect(paginateGetMetricData({ client }, input), (page) => page.MetricDataResults);
      const samples = results.flatMap(({ Timestamps = [], Values = [] }) =>
        Timestamps.map((time, index) => ({ time, value: Values[index] ?? 0 })),
      );
      return samples.find(({ value }) => value > 0) ?? 'absent';
    });
  }
}

export type Role = Awaited<ReturnType<typeof readIam>>;

/**
 * A role with which Auto Scaling publishes, and IAM's simulation of its permissions.
 * @param keyArn undefined when the topic has no customer-managed key.
 */
async function readIam({ iam: client }: Clients, arn: string, topicArn: string, keyArn: string | undefined) {
  // An ARN may have a path before the name.
  const name = arn.split('/').at(-1) ?? '';
  return {
    arn,
    name,
    role: await read(
      () => client.send(new GetRoleCommand({ RoleName: name })),
      'NoSuchEntity',
      'NoSuchEntityException',
    ),
    publish: await simulate(['sns:Publish'], topicArn),
    useKey: keyArn === undefined ? 'absent' : await simulate(['kms:GenerateDataKey', 'kms:Decrypt'], keyArn),
  } as const;

  function simulate(ActionNames: string[], resourceArn: string): Promise<Fact<readonly EvaluationResult[]>> {
    const input = { PolicySourceArn: arn, ActionNames, ResourceArns: [resourceArn] };
    const pages = paginateSimulatePrincipalPolicy({ client }, input);
    return read(() => collect(pages, ({ EvaluationResults }) => EvaluationResults));
  }
}

/** The ids of the instances that carry the tag. */
function readEc2({ ec2: client }: Clients, { key, value }: Settings['tag']): Promise<Fact<ReadonlySet<string>>> {
  return read(async () => {
    // EC2 has wildcards in the values of filters.
    const Filters = [{ Name: `tag:${key}`, Values: [value.replace(/[*?\\]/g, '\\$&')] }];
    const reservations = await collect(paginateDescribeInstances({ client }, { Filters }), (page) => page.Reservations);
    return new Set(
      reservations.flatMap(({ Instances = [] }) => Instances.flatMap(({ InstanceId }) => InstanceId ?? [])),
    );
  });
}

/** The subscription's filter policy in this checkout's template. */
async function readTemplateFilter(): Promise<unknown> {
  const text = await readFile(new URL('../../../template.yaml', import.meta.url), 'utf8');
  // The parser warns about CloudFormation's tags elsewhere in the file.
  return parse(text, { logLevel: 'error' }).Resources.Subscription.Properties.FilterPolicy;
}
