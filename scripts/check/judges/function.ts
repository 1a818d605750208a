import { isKnown } from '../facts/fact.ts';
import { type Facts, METRIC_DAYS } from '../facts/facts.ts';
import type { Group } from '../facts/groups.ts';
import { broken, type Finding, ok, unknown } from '../link.ts';
import { decide, isUnclear } from '../policy.ts';
import { awsCommand } from './commands.ts';
import { CHANGED, DELETED } from './stack.ts';

export function judgeFunction({ function: configuration, stack: { functionName } }: Facts): Finding {
  if (configuration === 'absent') {
    return broken(`${functionName} does not exist: the next scale-in sets no tag`, DELETED);
  }
  if (!isKnown(configuration)) return unknown(configuration);
  const { State: state, StateReason, LastUpdateStatus: update, LastUpdateStatusReason } = configuration;
  const reason = StateReason ?? LastUpdateStatusReason;
  const finding = `${state}, last update ${update}${reason ? ` (${reason})` : ''}`;
  if (state === 'Active' && update === 'Successful') return ok(finding);
  if (state === 'Pending' || (state === 'Active' && update === 'InProgress')) {
    return unknown(`${finding}: check again when it is done`);
  }
  const effect = state === 'Active' ? 'the version before the update still runs' : 'the next scale-in may set no tag';
  return broken(`${finding}: ${effect}`, 'remove the reason, then deploy again');
}

export function judgeFunctionSettings({ settings }: Facts): Finding | [] {
  if (settings === 'absent') return [];
  if (!isKnown(settings)) return unknown(settings);
  if ('invalid' in settings) {
    return broken(`${settings.invalid}: every call fails, and the next scale-in sets no tag`, CHANGED);
  }
  const { tag, maxAgeMs } = settings;
  const limit = Number.isFinite(maxAgeMs) ? `HEARTBEAT_TIMEOUT ${maxAgeMs / 1000} s` : 'no HEARTBEAT_TIMEOUT';
  return ok(`tag ${tag.key}=${tag.value}, ${limit}`);
}

export function judgeFunctionCode({ function: configuration, bundle }: Facts): Finding | [] {
  if (!isKnown(configuration)) return [];
  if (!isKnown(bundle)) return unknown(bundle);
  const { CodeSha256: deployed } = configuration;
  if (deployed === bundle.sha256) return ok("equal to this checkout's bundle");
  const finding = `not equal to this checkout's bundle: CodeSha256 is ${deployed}, the bundle's is ${bundle.sha256}`;
  return broken(finding, 'deploy this checkout, or run the check from a checkout of the deployed version');
}

/** Whether the topic may call the function. */
export function judgeFunctionPermission({ function: configuration, functionPolicy, stack }: Facts): Finding | [] {
  if (configuration === 'absent') return [];
  if (functionPolicy !== 'absent' && !isKnown(functionPolicy)) return unknown(functionPolicy);
  const decision = decide(functionPolicy === 'absent' ? undefined : functionPolicy.Policy, {
    action: 'lambda:InvokeFunction',
    principals: ['sns.amazonaws.com'],
    context: { 'aws:sourcearn': stack.topicArn, 'aws:sourceaccount': stack.accountId },
  });
  if (decision === 'allowed') return ok('the topic may call the function');
  if (isUnclear(decision)) return unknown("the function's policy has a condition that the check cannot judge");
  return broken('the topic may not call the function: SNS does not retry, and the next scale-in sets no tag', DELETED);
}

/** What Lambda does with an event when the function fails. */
export function judgeFunctionEvents({ function: configuration, functionEvents, stack }: Facts): Finding | [] {
  if (configuration === 'absent') return [];
  if (functionEvents === 'absent') return broken('an event that fails is lost, and nobody sees it', DELETED);
  if (!isKnown(functionEvents)) return unknown(functionEvents);
  const target = functionEvents.DestinationConfig?.OnFailure?.Destination;
  const retries = `retried for up to ${maxEventAgeOf(functionEvents)} s`;
  if (target === stack.failureQueueArn) return ok(`${retries}, then sent to the failure queue`);
  const where = target === undefined ? 'lost' : `sent to ${target}, not to the failure queue`;
  return broken(`${retries}, then ${where}: nobody sees an event that was given up`, CHANGED);
}

/** Seconds after which Lambda drops an event. Without a setting, Lambda has a default. */
export function maxEventAgeOf(events: Facts['functionEvents']): number {
  return (isKnown(events) ? events.MaximumEventAgeInSeconds : undefined) ?? 21_600;
}

/** The queue of the messages that were given up. */
export function judgeFailureQueue({ failureQueue, oldestMessage, stack }: Facts): Finding {
  if (failureQueue === 'absent') {
    return broken(`${stack.failureQueueUrl} does not exist: nobody sees a message that was given up`, DELETED);
  }
  if (!isKnown(failureQueue)) return unknown(failureQueue);
  const { ApproximateNumberOfMessages: visible, ApproximateNumberOfMessagesNotVisible: beingRead } = failureQueue;
  const count = Number(visible ?? 0) + Number(beingRead ?? 0);
  if (count === 0) return ok('empty');
  // The metric leaves out messages that were received three times.
  const age = isKnown(oldestMessage) ? `at least ${oldestMessage.value} s old` : 'of unknown age';
  const finding = `${count} given up, the oldest ${age}: instances lack the tag, or still carry it`;
  return broken(finding, 'set or clear the tags by hand, then delete the messages: docs/operate.md shows how');
}

/** A chain that had nothing to tag is not broken. */
export function judgeLastTagged({ lastTagged }: Facts): Finding {
  if (lastTagged === 'absent') return ok(`not in the last ${METRIC_DAYS} days; a drill tries the hook`);
  return isKnown(lastTagged) ? ok(`in the five minutes from ${lastTagged.time.toISOString()}`) : unknown(lastTagged);
}

const LATE = 'Lambda throttles a larger scale-in, and the last tags come late or never';

/**
 * The fewest copies that tag a whole group in time. EC2 takes 100 tags at once in a fraction of a second. From then on,
 * EC2's rate is the limit, and each copy sets several tags in turn.
 */
function leastCopies(instances: number): number {
  return Math.max(1, Math.ceil(instances / (instances > 100 ? 20 : 10)));
}

/** How many copies of the function can run at once. */
export function judgeConcurrency(facts: Facts, group: Group): Finding | [] {
  const { concurrency, account, stack } = facts;
  if (facts.function === 'absent') return [];
  if (!isKnown(concurrency)) return unknown(concurrency);
  const { ReservedConcurrentExecutions: reserved } = concurrency;
  const size = group.description.Instances?.length ?? 0;
  if (reserved !== undefined) {
    const finding = `${reserved} copies reserved, ${size} instances in the group`;
    if (reserved >= leastCopies(size)) return ok(finding);
    const fix = awsCommand(stack.region, 'lambda delete-function-concurrency', { 'function-name': stack.functionName });
    return broken(`${finding}: ${reserved === 0 ? 'the next scale-in sets no tag' : LATE}`, fix);
  }
  if (!isKnown(account)) return unknown(account);
  const { UnreservedConcurrentExecutions: unreserved } = account.AccountLimit ?? {};
  if (unreserved === undefined) return unknown('the answer has no limit of the account');
  const finding = `${unreserved} copies for all functions of the account, ${size} instances in the group`;
  if (unreserved >= leastCopies(size)) return ok(finding);
  return broken(`${finding}: ${LATE}`, 'request a higher quota of Lambda\'s "Concurrent executions" in Service Quotas');
}
