import {
  DescribeStacksCommand,
  type Stack as Description,
  paginateDescribeStacks,
} from '@aws-sdk/client-cloudformation';
import { readArn } from '../../../src/arn.ts';
import type { Clients } from '../clients.ts';
import { collect, type Fact, isDenied, isKnown, read, reasonOf } from './fact.ts';

/** What CloudFormation says about the stack that the user named. */
export interface Deployment {
  readonly name: string;
  readonly region: string;
  readonly accountId: string | undefined;
  readonly description: Fact<Description>;
  /** When the stack is absent: the stacks here that have the outputs of template.yaml. */
  readonly similarStacks: readonly string[];
}

const OUTPUTS = ['TopicArn', 'HookRoleArn', 'FunctionName', 'FailureQueueUrl'] as const;

/** @throws the SDK's error when CloudFormation cannot be asked at all. */
export async function readCloudFormation({ cloudFormation: client }: Clients, name: string): Promise<Deployment> {
  const region = await client.config.region();
  const { accountId } = await client.config.credentials();
  const deployment = { name, region, accountId, similarStacks: [] };
  try {
    const { Stacks: stacks, $metadata } = await client.send(new DescribeStacksCommand({ StackName: name }));
    // The SDK reads a page of HTML as an answer without a list.
    if (!stacks) throw Object.assign(new Error('the answer has no list of stacks'), { $metadata });
    const [description] = stacks;
    if (description) return { ...deployment, description };
  } catch (thrown) {
    const error = thrown as Error;
    if (isDenied(error)) return { ...deployment, description: { unreadable: reasonOf(error) } };
    if (error.name !== 'ValidationError' || !error.message.includes('does not exist')) throw error;
  }
  // Without permission to list the stacks, the result names no similar ones.
  const stacks = await read(() => collect(paginateDescribeStacks({ client }, {}), (page) => page.Stacks));
  const others = isKnown(stacks) ? stacks : [];
  return {
    ...deployment,
    accountId: accountId ?? others[0]?.StackId?.split(':')[4],
    description: 'absent',
    similarStacks: others.flatMap((other) => (missingOutputs(other).length === 0 ? (other.StackName ?? []) : [])),
  };
}

/** The outputs of template.yaml that a stack does not have. */
export function missingOutputs({ Outputs: outputs = [] }: Description): string[] {
  return OUTPUTS.filter((name) => !outputs.some(({ OutputKey, OutputValue }) => OutputKey === name && OutputValue));
}

/** The names of the parts of a stack from template.yaml. */
export type Stack = NonNullable<ReturnType<typeof stackOf>>;

/** @returns undefined when the stack does not exist, cannot be read, or lacks outputs of the template. */
export function stackOf({ name, region, description }: Deployment) {
  if (!isKnown(description) || missingOutputs(description).length > 0) return undefined;
  const { Outputs = [], Parameters = [] } = description;
  const outputs = Object.fromEntries(Outputs.map((each) => [each.OutputKey, each.OutputValue ?? '']));
  const { TopicArn: topicArn = '', HookRoleArn: hookRoleArn = '' } = outputs;
  const { FunctionName: functionName = '', FailureQueueUrl: failureQueueUrl = '' } = outputs;
  const { accountId } = readArn('output TopicArn', topicArn);
  const [, partition] = topicArn.split(':');
  const parameters: Readonly<Partial<Record<string, string>>> = Object.fromEntries(
    Parameters.map((each) => [each.ParameterKey, each.ParameterValue]),
  );
  const { TaggedGroupNames, AutoScalingGroupName: ofStack } = parameters;
  // An empty text means every group. In the template, a list of empty names means no other group.
  const limits = TaggedGroupNames ? TaggedGroupNames.split(',').map((group) => group.trim()) : [];
  const failureQueueName = failureQueueUrl.split('/').at(-1) ?? '';
  return {
    name,
    region,
    accountId,
    topicArn,
    hookRoleArn,
    functionName,
    functionArn: `arn:${partition}:lambda:${region}:${accountId}:function:${functionName}`,
    failureQueueUrl,
    failureQueueName,
    failureQueueArn: `arn:${partition}:sqs:${region}:${accountId}:${failureQueueName}`,
    /** The only groups whose instances the function may tag; empty for every group. */
    taggedGroups: limits.length > 0 && ofStack ? [ofStack, ...limits] : limits,
    parameters,
  };
}
