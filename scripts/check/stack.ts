import {
  type CloudFormationClient,
  DescribeStacksCommand,
  type Stack as Description,
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

/**
 * Reads a stack that was made from template.yaml.
 * @returns its link, and the stack unless it cannot be read.
 * @throws the SDK's error when CloudFormation cannot be asked at all.
 */
export async function readStack(
  cloudFormation: CloudFormationClient,
  name: string,
): Promise<{ readonly link: Link; readonly stack?: Stack }> {
  const as = findings('stack');
  const region = await cloudFormation.config.region();
  try {
    const { Stacks: [description] = [] } = await cloudFormation.send(new DescribeStacksCommand({ StackName: name }));
    if (!description) return { link: as.broken(`${region} has no stack ${name}`, deployCommand(region, name)) };
    return describe(description, region);
  } catch (error) {
    if (isNamed(error, 'ValidationError') && /does not exist/.test(reasonOf(error))) {
      return { link: as.broken(`${region} has no stack ${name}`, deployCommand(region, name)) };
    }
    if (isDenied(error)) return { link: as.unknown(`${reasonOf(error)}; without the stack nothing else can be found`) };
    throw error;
  }
}

function describe(description: Description, region: string): { readonly link: Link; readonly stack?: Stack } {
  const as = findings('stack');
  const { StackName: name = '', StackStatus: status = '', StackStatusReason: reason } = description;
  const outputs = Object.fromEntries(
    (description.Outputs ?? []).map((each) => [each.OutputKey, each.OutputValue ?? '']),
  );
  const missing = OUTPUTS.filter((output) => !outputs[output]);
  if (missing.length > 0) {
    const found = `${status}, without the outputs ${missing.join(', ')}: it was not made from template.yaml, or not to its end`;
    return { link: as.broken(found, deployCommand(region, name)) };
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
