import { EC2Client } from '@aws-sdk/client-ec2';
import type { Context, SNSEvent, SNSEventRecord, SNSMessage } from 'aws-lambda';
import { readArn } from './arn.ts';
import { readConfig } from './config.ts';
import { InvalidFieldError } from './invalid-field-error.ts';
import { classify, type MessageFields, parseMessage } from './lifecycle-message.ts';
import { clearRemovalTag, setRemovalTag } from './removal-tag.ts';

/** An event that does not come from SNS. */
class InvalidEventError extends InvalidFieldError {
  override readonly name = 'InvalidEventError';
}

/** A message from another account, whose instances cannot be tagged from this one. */
class ForeignAccountError extends InvalidFieldError {
  override readonly name = 'ForeignAccountError';
}

/** By which a message is found again in the log; what it does not hold is left out. */
interface LogFields {
  region?: string;
  instanceId?: string;
  autoScalingGroupName?: string;
  lifecycleHookName?: string;
  requestId?: string;
}

/** What came of a record. */
interface Result {
  outcome: 'tagged' | 'untagged' | 'ignored' | 'gone' | 'failed';
  /** Milliseconds from the message's `Time` to the tag. */
  delayMs?: number;
  reason?: string;
}

/** One for each record; Lambda's JSON log format nests it under `message`. */
type LogLine = Result & LogFields;

const { tag } = readConfig(process.env);

// EC2 answers within a second or two; a socket that hangs for longer is given up and the call repeated on another.
const CONNECTION_TIMEOUT_MS = 2000;
const REQUEST_TIMEOUT_MS = 4000;

const clients = new Map<string, EC2Client>();

function clientFor(region: string): EC2Client {
  const client =
    clients.get(region) ??
    new EC2Client({
      region,
      // The retry rule is ours: the SDK's gives up long before EC2's throttling ends.
      maxAttempts: 1,
      requestHandler: {
        connectionTimeout: CONNECTION_TIMEOUT_MS,
        requestTimeout: REQUEST_TIMEOUT_MS,
        throwOnRequestTimeout: true,
        socketTimeout: REQUEST_TIMEOUT_MS,
      },
    });
  clients.set(region, client);
  return client;
}

// The topic is most likely in the function's own region; Lambda's start-up has more CPU than an invocation.
if (process.env.AWS_REGION) clientFor(process.env.AWS_REGION);

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

function recordsOf(event: SNSEvent): SNSEventRecord[] {
  const records: unknown = (event as Partial<SNSEvent> | null)?.Records;
  if (!Array.isArray(records) || records.length === 0) {
    throw new InvalidEventError('Records', records, 'the records of an SNS event');
  }
  return records;
}

async function handleRecord(record: SNSEventRecord | null, context: Context): Promise<void> {
  const known: LogFields = {};
  try {
    const { TopicArn, Message }: Partial<SNSMessage> = record?.Sns ?? {};
    known.region = readArn('Sns.TopicArn', TopicArn).region;
    const fields = parseMessage(Message);
    Object.assign(known, identify(fields));
    const result = await act(fields, known.region, context);
    const log = result.outcome === 'gone' ? console.warn : console.info;
    log({ ...result, ...known } satisfies LogLine);
  } catch (error) {
    console.error({ outcome: 'failed', ...known, reason: String(error) } satisfies LogLine);
    throw error;
  }
}

const KEEP_TAG_TRUE = { 'leaves-service': setRemovalTag, 'returns-to-service': clearRemovalTag } as const;

async function act(fields: MessageFields, region: string, context: Context): Promise<Result> {
  const message = classify(fields);
  if (message.meaning === 'nothing-to-do') return { outcome: 'ignored', reason: message.reason };

  const { accountId } = readArn('context.invokedFunctionArn', context.invokedFunctionArn);
  if (message.accountId !== accountId) {
    throw new ForeignAccountError('AccountId', message.accountId, `the function's own account, ${accountId}`);
  }
  const keepTagTrue = KEEP_TAG_TRUE[message.meaning];
  const remainingMs = () => context.getRemainingTimeInMillis();
  const outcome = await keepTagTrue(clientFor(region), tag, message.instanceId, remainingMs);
  return outcome === 'gone' ? { outcome } : { outcome, ...delaySince(fields.Time) };
}

/** The fields by which a message is found again; never its lifecycle action token. */
function identify(fields: MessageFields): LogFields {
  const line: LogFields = {};
  if (isName(fields.EC2InstanceId)) line.instanceId = fields.EC2InstanceId;
  if (isName(fields.AutoScalingGroupName)) line.autoScalingGroupName = fields.AutoScalingGroupName;
  if (isName(fields.LifecycleHookName)) line.lifecycleHookName = fields.LifecycleHookName;
  if (isName(fields.RequestId)) line.requestId = fields.RequestId;
  return line;
}

/** Tells a name, which AWS limits to 255 characters, from a message that somebody put in its place. */
function isName(value: unknown): value is string {
  return typeof value === 'string' && /^[^"]{1,255}$/.test(value);
}

function delaySince(time: unknown): Pick<Result, 'delayMs'> {
  const delayMs = Date.now() - Date.parse(String(time));
  return Number.isNaN(delayMs) ? {} : { delayMs };
}
