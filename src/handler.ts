import type { Context, SNSEvent, SNSEventRecord, SNSMessage } from 'aws-lambda';
import { readArn } from './arn.ts';
import { ec2In } from './ec2-clients.ts';
import { keepErrorType } from './error-type.ts';
import { InvalidFieldError } from './invalid-field-error.ts';
import { idsOf, isName, parseMessage, requestOf, type TagChange } from './lifecycle-message.ts';
import { type LogContext, logFailure, logResult, type Result } from './log-line.ts';
import { changeRemovalTag } from './removal-tag.ts';
import { readSettings } from './settings.ts';

const { tag, maxAgeMs } = readSettings(process.env);

// Lambda's start-up has more CPU than an invocation, and the topic is most likely in the function's own region.
if (process.env.AWS_REGION) ec2In(process.env.AWS_REGION);

// Kept free before the timeout, to log and report the error even with little CPU.
const RESERVED_MS = 1000;

/**
 * Lambda's entry: sets or clears the removal tag, as the lifecycle message of each record asks.
 * @throws the error of the record that failed, or an AggregateError of several. All other records have been handled.
 */
export async function handler(event: SNSEvent, context: Context): Promise<void> {
  const results = await Promise.allSettled(recordsOf(event).map((record) => handleRecord(record, context)));
  const errors = results.flatMap((result) => (result.status === 'rejected' ? [result.reason as unknown] : []));
  if (errors.length === 0) return;
  throw errors.length === 1
    ? errors[0]
    : new AggregateError(errors, `${errors.length} of ${results.length} records failed: ${errors.join('; ')}`);
}

function recordsOf(event: Partial<SNSEvent> | null): (SNSEventRecord | null)[] {
  const records: unknown = event?.Records;
  if (Array.isArray(records) && records.length > 0) return records;
  const error = new InvalidFieldError('InvalidEventError', 'Records', records, 'the records of an SNS event');
  logFailure(error, {});
  throw error;
}

async function handleRecord(record: SNSEventRecord | null, context: Context): Promise<void> {
  let logContext: LogContext = {};
  try {
    const { MessageId, TopicArn, Message, Timestamp }: Partial<SNSMessage> = record?.Sns ?? {};
    if (isName(MessageId)) logContext = { messageId: MessageId };
    const { region } = readArn('Sns.TopicArn', TopicArn);
    logContext = { ...logContext, region };
    const fields = parseMessage(Message);
    logContext = { ...logContext, ...idsOf(fields) };
    const request = requestOf(fields);
    if (request.action === 'none') {
      logResult({ outcome: 'ignored', reason: request.reason }, logContext);
      return;
    }
    const expiry = expiryOf(Timestamp);
    checkAccount(request, context);
    const deadline = Math.min(expiry, Date.now() + context.getRemainingTimeInMillis() - RESERVED_MS);
    logResult(await changeTag(request, region, deadline), logContext);
  } catch (error) {
    logFailure(error, logContext);
    keepErrorType(error);
    throw error;
  }
}

/**
 * Returns when a message becomes too old to be acted on, in milliseconds since 1970. SNS may deliver for 23 days. By then
 * the instance has moved on, and a late change could take an instance in service out of the load balancer.
 * @throws InvalidFieldError named StaleMessageError when the message is too old already.
 */
function expiryOf(timestamp: unknown): number {
  if (maxAgeMs === Number.POSITIVE_INFINITY) return maxAgeMs;
  const publishedAt = typeof timestamp === 'string' ? Date.parse(timestamp) : Number.NaN;
  if (Number.isNaN(publishedAt)) {
    throw new InvalidFieldError(
      'InvalidEventError',
      'Sns.Timestamp',
      timestamp,
      'a time such as 2024-03-23T03:26:43.904Z',
    );
  }
  const ageMs = Date.now() - publishedAt;
  if (ageMs <= maxAgeMs) return publishedAt + maxAgeMs;
  const seconds = (ms: number) => `${Math.ceil(ms / 1000)} s`;
  const expected = `an age of at most ${seconds(maxAgeMs)} (HEARTBEAT_TIMEOUT); the message is ${seconds(ageMs)} old`;
  throw new InvalidFieldError('StaleMessageError', 'Sns.Timestamp', timestamp, expected);
}

/**
 * In another account, EC2 would answer that it does not know the instance, which looks like an instance that is gone.
 * @throws InvalidFieldError named ForeignAccountError.
 */
function checkAccount(request: TagChange, context: Context): void {
  const { accountId } = readArn('context.invokedFunctionArn', context.invokedFunctionArn);
  if (request.accountId === accountId) return;
  const expected = `the function's own account, ${accountId}`;
  throw new InvalidFieldError('ForeignAccountError', 'AccountId', request.accountId, expected);
}

async function changeTag({ action, instanceId, sentAt }: TagChange, region: string, deadline: number): Promise<Result> {
  const outcome = await changeRemovalTag(action, ec2In(region), tag, instanceId, deadline);
  const delayMs = Date.now() - sentAt;
  // The message itself names this time, so the time may be wrong. `NaN` fails both comparisons.
  const isPossible = delayMs >= 0 && delayMs <= maxAgeMs;
  return outcome === 'gone' || !isPossible ? { outcome } : { outcome, delayMs };
}
