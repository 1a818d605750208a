import {
  type FunctionConfiguration,
  GetFunctionConfigurationCommand,
  GetFunctionEventInvokeConfigCommand,
  GetPolicyCommand,
  type LambdaClient,
} from '@aws-sdk/client-lambda';
import { readSettings, type Settings } from '../../src/settings.ts';
import { awsCommand } from './aws-command.ts';
import { examine, type Findings, findings, isNamed, type Link } from './link.ts';
import { allowsOf } from './policy.ts';
import { DEPLOY_AGAIN, deployCommand, type Stack } from './stack.ts';

/** The function, as far as it could be looked at. */
export interface DeployedFunction {
  readonly links: readonly Link[];
  readonly settings?: Settings;
  /** Seconds after which Lambda drops an event. */
  readonly maxEventAge?: number;
}

// Lambda's own, without a configuration: https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
const DEFAULT_MAX_EVENT_AGE = 21_600;

/**
 * The function: there and active, its code and settings, who may call it, what becomes of events that fail.
 * @param localSha256 gives the hash of this checkout's bundle, as `CodeSha256` shows it.
 */
export async function checkFunction(
  lambda: LambdaClient,
  stack: Stack,
  localSha256: () => Promise<string>,
): Promise<DeployedFunction> {
  const { region, functionName, topicArn, failureQueueArn } = stack;
  const redeploy = deployCommand(region, stack.name);
  let settings: Settings | undefined;
  let maxEventAge: number | undefined;
  let isGone = false;

  const links = await examine('function', null, async (as) => {
    try {
      const input = { FunctionName: functionName };
      const configuration = await lambda.send(new GetFunctionConfigurationCommand(input));
      return [stateOf(configuration), settingsOf(configuration), ...(await checkCode(configuration))];
    } catch (error) {
      if (!isNamed(error, 'ResourceNotFoundException')) throw error;
      isGone = true;
      return as.broken(`${functionName} is not there: the next scale-in sets no tag`, DEPLOY_AGAIN);
    }
  });
  if (isGone) return { links };
  return {
    links: [
      ...links,
      ...(await examine('function permission', null, checkPolicy)),
      ...(await examine('function events', null, checkEvents)),
    ],
    ...(settings && { settings }),
    ...(maxEventAge !== undefined && { maxEventAge }),
  };

  function stateOf({ State, StateReason, LastUpdateStatus, LastUpdateStatusReason }: FunctionConfiguration): Link {
    const as = findings('function');
    const reason = StateReason ?? LastUpdateStatusReason;
    const found = `${functionName}: ${State}, last update ${LastUpdateStatus}${reason ? ` (${reason})` : ''}`;
    if (State === 'Active' && LastUpdateStatus === 'Successful') return as.ok(found);
    if (State === 'Pending' || (State === 'Active' && LastUpdateStatus === 'InProgress')) {
      return as.unknown(`${found}: still changing; check again when it is done`);
    }
    if (State === undefined) return as.unknown(`${functionName}: no state in the answer`);
    const meaning = State === 'Active' ? 'the function runs as it was before' : 'the next scale-in may set no tag';
    return as.broken(`${found}: ${meaning}`, redeploy);
  }

  function settingsOf({ Environment }: FunctionConfiguration): Link {
    const as = findings('function settings');
    try {
      settings = readSettings(Environment?.Variables ?? {});
    } catch (error) {
      const found = `${error instanceof Error ? error.message : error}: every run fails, and the next scale-in sets no tag`;
      return as.broken(found, settingsCommand(stack));
    }
    const { tag, maxAgeMs } = settings;
    const limit =
      maxAgeMs === Number.POSITIVE_INFINITY ? 'no HEARTBEAT_TIMEOUT' : `HEARTBEAT_TIMEOUT ${maxAgeMs / 1000} s`;
    return as.ok(`tag ${tag.key}=${tag.value}, ${limit}`);
  }

  function checkCode({ CodeSha256: deployed }: FunctionConfiguration): Promise<readonly Link[]> {
    return examine('function code', null, async (as) => {
      const sha256 = await localSha256();
      if (deployed === sha256) return as.ok(`CodeSha256 ${deployed}, as this checkout bundles it`);
      const found = `CodeSha256 ${deployed}; this checkout bundles to ${sha256}: the next scale-in runs other code than this`;
      return as.broken(found, redeploy);
    });
  }

  async function checkPolicy(as: Findings): Promise<Link> {
    const mend = awsCommand(region, 'lambda add-permission', {
      'function-name': functionName,
      'statement-id': 'invoke-from-topic',
      action: 'lambda:InvokeFunction',
      principal: 'sns.amazonaws.com',
      'source-arn': topicArn,
    });
    const found = 'the topic may not call the function: SNS does not try again, and the next scale-in sets no tag';
    try {
      const { Policy = '{}' } = await lambda.send(new GetPolicyCommand({ FunctionName: functionName }));
      const sources = allowsOf(Policy, 'sns.amazonaws.com').map((each) => each.Condition?.ArnLike?.['AWS:SourceArn']);
      // Without a condition it is any topic.
      const lets = sources.some((source) => source === undefined || source === topicArn);
      return lets ? as.ok('the topic may call the function') : as.broken(found, mend);
    } catch (error) {
      if (!isNamed(error, 'ResourceNotFoundException')) throw error;
      return as.broken(found, mend);
    }
  }

  async function checkEvents(as: Findings): Promise<Link> {
    const heartbeat = stack.parameters.HeartbeatTimeout;
    const mend = awsCommand(region, 'lambda put-function-event-invoke-config', {
      'function-name': functionName,
      'maximum-event-age-in-seconds': heartbeat,
      'maximum-retry-attempts': 2,
      'destination-config': { OnFailure: { Destination: failureQueueArn } },
    });
    try {
      const answer = await lambda.send(new GetFunctionEventInvokeConfigCommand({ FunctionName: functionName }));
      const { MaximumEventAgeInSeconds: age = DEFAULT_MAX_EVENT_AGE, DestinationConfig } = answer;
      maxEventAge = age;
      const destination = DestinationConfig?.OnFailure?.Destination;
      if (destination === failureQueueArn) return as.ok(`for up to ${age} s, then into the failure queue`);
      const where = destination ? `to ${destination}, not to the failure queue` : 'nowhere';
      return as.broken(`for up to ${age} s, then ${where}: a message that is given up is lost unseen`, mend);
    } catch (error) {
      if (!isNamed(error, 'ResourceNotFoundException')) throw error;
      maxEventAge = DEFAULT_MAX_EVENT_AGE;
      return as.broken(`for up to ${maxEventAge} s, then nowhere: a message that is given up is lost unseen`, mend);
    }
  }
}

/** Gives the function the settings that the template gave it. A deployment would change nothing. */
function settingsCommand({ region, functionName, parameters }: Stack): string {
  const { TagKey: TAG_KEY, TagValue: TAG_VALUE, HeartbeatTimeout: HEARTBEAT_TIMEOUT } = parameters;
  return awsCommand(region, 'lambda update-function-configuration', {
    'function-name': functionName,
    environment: { Variables: { TAG_KEY, TAG_VALUE, HEARTBEAT_TIMEOUT } },
  });
}
