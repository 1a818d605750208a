// Runs in the process that lambda.ts starts: loads the function as Lambda's runtime does, and calls the function for each
// message from the parent.
import { createRequire } from 'node:module';
import type { Context, SNSEvent } from 'aws-lambda';

/** A message from the parent. */
export interface Request {
  readonly event: unknown;
  readonly invokedFunctionArn: string;
  readonly timeoutMs: number;
}

/** A message to the parent: each log entry when it is written, and the end of the start-up and of each invocation. */
export type Reply = { readonly log: LogEntry } | End;

/** `error` is the thrown error, as Lambda reports it. */
export interface End {
  readonly error?: { readonly errorType: string; readonly errorMessage: string };
}

/** A line of Lambda's JSON log format: https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-logformat.html */
export interface LogEntry {
  readonly timestamp: string;
  readonly level: string;
  readonly requestId: string;
  readonly message: unknown;
}

let requestId = '';

const levels = { debug: 'DEBUG', log: 'INFO', info: 'INFO', warn: 'WARN', error: 'ERROR' } as const;
for (const [method, level] of Object.entries(levels)) {
  console[method as keyof typeof levels] = (message: unknown) =>
    reply({ log: { timestamp: new Date().toISOString(), level, requestId, message } });
}

// The parent has ended, perhaps without a chance to end this process.
process.on('disconnect', () => process.exit());

function reply(message: Reply): void {
  // A send fails only when the parent has ended, and then 'disconnect' follows.
  process.send?.(message, undefined, undefined, () => {});
}

function describe(error: unknown) {
  return error instanceof Error
    ? { errorType: error.name, errorMessage: error.message }
    : { errorType: typeof error, errorMessage: String(error) };
}

type Handler = (event: SNSEvent, context: Context) => Promise<void>;

function load(): Handler {
  return createRequire(`${process.env.LAMBDA_TASK_ROOT}/`)('./index').handler;
}

async function invoke(handler: Handler, { event, invokedFunctionArn, timeoutMs }: Request): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  requestId = crypto.randomUUID();
  const context = {
    awsRequestId: requestId,
    invokedFunctionArn,
    getRemainingTimeInMillis: () => deadline - Date.now(),
  };
  try {
    await handler(event as SNSEvent, context as Context);
    reply({});
  } catch (error) {
    reply({ error: describe(error) });
  }
}

try {
  const handler = load();
  process.on('message', (request: Request) => void invoke(handler, request));
  reply({});
} catch (error) {
  reply({ error: describe(error) });
}
