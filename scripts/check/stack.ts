import {
  type CloudFormationClient,
  DescribeStacksCommand,
  type Stack as Description,
  paginateDescribeStacks,
} from '@aws-sdk/client-cloudformation';
import { readArn } from '../../src/arn.ts';
import { awsCommand } from './aws-command.ts';
import { findings, isDenied, isNamed, type Link, reasonOf } from './link.ts';

/** What a deployed stack says of itself. */
export interface Stack {
  readonly name: string;
  readonly region: string;
  readonly accountId: string;
  readonly topicArn: string;
  readonly hookRoleArn: string;
  readonly functionName: string;
  readonly functionArn: string;
  readonly failureQueueUrl: string;
  readonly failureQueueName: string;
  readonly failureQueueArn: string;
  readonly parameters: Readonly<Record<string, string>>;
}

const OUTPUTS = ['TopicArn', 'HookRoleArn', 'FunctionName', 'FailureQueueUrl'] as const;

/** How to fix what is missing: CloudFormation does not notice a deletion, and a deployment would change nothing. */
export const DEPLOY_AGAIN = 'deleted outside CloudFormation: delete the stack and deploy it again';

/**
 * Reads a stack that was made from template.yaml.
 * @returns its link, and the stack unless it cannot be read.
 * @throws the SDK's error when CloudFormation cannot be asked at all.
 */
export async function readStack(
  cloudFormation: CloudFormationClient,
  name: string,
): Promise<{ readonly link: Link; readonly stack?: Stack }> {
  const region = await cloudFormation.config.region();
  try {
    const { Stacks: [description] = [] } = await cloudFormation.send(new DescribeStacksCommand({ StackName: name }));
    return description ? describe(description, region) : { link: await notFound(cloudFormation, name, region) };
  } catch (error) {
    if (isNamed(error, 'ValidationError') && /does not exist/.test(reasonOf(error))) {
      return { link: await notFound(cloudFormation, name, region) };
    }
    if (!isDenied(error)) throw error;
    return { link: findings('stack').unknown(`${reasonOf(error)}; without the stack nothing else can be found`) };
  }
}

/** The name, the region or the account may be a mistake, so the link names the stacks that could be meant. */
async function notFound(cloudFormation: CloudFormationClient, name: string, region: string): Promise<Link> {
  let { accountId } = await cloudFormation.config.credentials();
  const similar: (string | undefined)[] = [];
  try {
    for await (const { Stacks: stacks = [] } of paginateDescribeStacks({ client: cloudFormation }, {})) {
      accountId ??= stacks[0]?.StackId?.split(':')[4];
      similar.push(...stacks.filter((stack) => missingOutputs(stack).length === 0).map(({ StackName }) => StackName));
    }
  } catch {
    // Without permission to list the stacks, the link does without them.
  }
  const place = accountId === undefined ? region : `${region}, account ${accountId},`;
  const others = similar.length > 0 ? `; stacks made from template.yaml there: ${similar.join(', ')}` : '';
  return findings('stack').broken(
    `${place} has no stack ${name}${others}`,
    'give the right --stack, region (AWS_REGION) and account (AWS_PROFILE)',
  );
}

function missingOutputs({ Outputs: outputs = [] }: Description): string[] {
  return OUTPUTS.filter((name) => !outputs.some(({ OutputKey, OutputValue }) => OutputKey === name && OutputValue));
}

function describe(description: Description, region: string): { readonly link: Link; readonly stack?: Stack } {
  const as = findings('stack');
  const { StackName: name = '', StackStatus: status = '', StackStatusReason: reason } = description;
  const outputs = Object.fromEntries(
    (description.Outputs ?? []).map((each) => [each.OutputKey, each.OutputValue ?? '']),
  );
  const missing = missingOutputs(description);
  if (missing.length > 0) {
    const found = `${status}, without the outputs ${missing.join(', ')}: it was not made from template.yaml, or not to its end`;
    return { link: as.broken(found, 'give the right --stack; if this is the one, delete it and deploy it again') };
  }
  const { TopicArn: topicArn = '', HookRoleArn: hookRoleArn = '' } = outputs;
  const { FunctionName: functionName = '', FailureQueueUrl: failureQueueUrl = '' } = outputs;
  const { accountId } = readArn('output TopicArn', topicArn);
  const [, partition] = topicArn.split(':');
  const failureQueueName = failureQueueUrl.split('/').at(-1) ?? '';
  const stack: Stack = {
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
    parameters: Object.fromEntries(
      (description.Parameters ?? []).map((each) => [each.ParameterKey ?? '', each.ParameterValue ?? '']),
    ),
  };
  return { link: stateOf(status, reason, stack), stack };
}

function stateOf(status: string, reason: string | undefined, { region, name }: Stack): Link {
  const as = findings('stack');
  const found = `${status}${reason ? ` (${reason})` : ''}`;
  if (status.endsWith('_IN_PROGRESS')) return as.unknown(`${found}: still changing; check again when it is done`);
  if (status === 'UPDATE_ROLLBACK_COMPLETE') return as.ok(`${found}: the last update was taken back`);
  if (/^(CREATE|UPDATE|IMPORT)_COMPLETE$/.test(status)) return as.ok(found);
  const mend =
    status === 'UPDATE_ROLLBACK_FAILED'
      ? awsCommand(region, 'cloudformation continue-update-rollback', { 'stack-name': name })
      : deployCommand(region, name);
  return as.broken(`${found}: what the next scale-in needs may be missing`, mend);
}

/** Deploys this checkout to a stack, which keeps its parameters; the bucket for the zip has to be in $BUCKET. */
export function deployCommand(region: string, stackName: string): string {
  return [
    'npm run bundle',
    `aws cloudformation package --region ${region} --template-file template.yaml --s3-bucket "\${BUCKET:?a bucket for the zip}" --output-template-file dist/packaged.yaml`,
    awsCommand(region, 'cloudformation deploy', {
      'template-file': 'dist/packaged.yaml',
      'stack-name': stackName,
      capabilities: 'CAPABILITY_IAM',
    }),
  ].join(' && ');
}
