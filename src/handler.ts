import type { Context, SNSEvent, SNSEventRecord, SNSMessage } from 'aws-lambda';
import { readArn } from './arn.ts';
import { ec2In } from './ec2-clients.ts';
import { InvalidFieldError } from './invalid-field-error.ts';
import { readMessage, type TagChange } from './lifecycle-message.ts';
import { type About, logFailure, logResult, type Result } from './log-line.ts';
import { clearRemovalTag, setRemovalTag } from './removal-tag.ts';
import { readSettings } from './settings.ts';

const { tag, maxAgeMs } = readSettings(process.env);

// Left unused at the end of the function's time: to write the log line and report the error, on a small CPU share too.
const RESERVED_MS = 1000;

/**
 * Lambda's entry: keeps the removal tag true for the instance that each record's lifecycle message names.
 * @throws the error of the record that failed, or an AggregateError of several; every other record has been handled.
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
  throw new InvalidFieldError('InvalidEventError', 'Records', records, 'the records of an SNS event');
}

async function handleRecord(record: SNSEventRecord | null, context: Context): Promise<void> {
  let about: About = {};
  try {
    const { TopicArn, Message, Timestamp }: Partial<SNSMessage> = record?.Sns ?? {};
    const { region } = readArn('Sns.TopicArn', TopicArn);
    const message = readMessage(Message);
    about = { region, ...message.names };
    if (message.asks === 'what cannot be read') throw message.error;
    const result: Result =
      message.asks === 'nothing'
        ? { outcome: 'ignored', reason: message.reason }
        : await changeTag(message, region, expiryOf(Timestamp), context);
    logResult(result, about);
  } catch (error) {
    logFailure(error, about);
    throw error;
  }
}

const CHANGES = { 'set-tag': setRemovalTag, 'clear-tag': clearRemovalTag } as const;

async function changeTag(message: TagChange, region: string, expiry: number, context: Context): Promise<Result> {
  const { accountId } = readArn('context.invokedFunctionArn', context.invokedFunctionArn);
  if (message.accountId !== accountId) {
    const expected = `the function's own account, ${accountId}`;
    throw new InvalidFieldError('ForeignAccountError', 'AccountId', message.accountId, expected);
  }
  const until = Math.min(expiry, Date.now() + context.getRemainingTimeInMillis() - RESERVED_MS);
  const outcome = await CHANGES[message.asks](ec2In(region), tag, message.instanceId, until);
  const delayMs = Date.now() - message.sentAt;
  return outcome === 'gone' || Number.isNaN(delayMs) ? { outcome } : { outcome, delayMs };
}

/**
 * When a message is too old to be acted on, in milliseconds since 1970. Its instance has moved on by then: a late message
 * could take it out of the load balancer, or keep it in, against what it is now. SNS may deliver for 23 days.
 * @throws InvalidFieldError named StaleMessageError for one that is too old already.
 */
function expiryOf(timestamp: unknown): number {
  if (maxAgeMs === Number.POSITIVE_INFINITY) return maxAgeMs;
  const publishedAt = typeof timestamp === 'string' ? Date.parse(timestamp) : Number.NaN;
  if (Number.isNaN(publishedAt)) {
    throw new InvalidFieldError('InvalidEventError', 'Sns.Timestamp', timestamp, 'a time as 2024-03-23T03:26:43.904Z');
  }
  const ageMs = Date.now() - publishedAt;
  if (ageMs <= maxAgeMs) return publishedAt + maxAgeMs;
  const seconds = (ms: number) => `${Math.ceil(ms / 1000)} s`;
  const expected = `a message of at most ${seconds(maxAgeMs)} (HEARTBEAT_TIMEOUT), and it is ${seconds(ageMs)} old`;
  throw new InvalidFieldError('StaleMessageError', 'Sns.Timestamp', timestamp, expected);
}
