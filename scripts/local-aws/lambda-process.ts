// Runs in the process that lambda.ts starts. Loads the function as Lambda's runtime does, and calls the function for each
// message from the parent.
import { createRequire } from 'node:module';
import type { Context, SNSEvent } from 'aws-lambda';

/** A message from the parent: one invocation. */
export interface InvokeMessage {
  readonly event: unknown;
  readonly invokedFunctionArn: string;
  readonly timeoutMs: number;
}

/** A message to the parent: a log entry, or the end of the start or of an invocation. */
export type ProcessMessage = { readonly log: LogEntry } | EndMessage;

/** `error` is the error that the function threw, in the form in which Lambda reports errors. */
export interface EndMessage {
  readonly error?: { readonly errorType: string; readonly errorMessage: string };
}

/** A line of Lambda's JSON log format: https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-logformat.html */
export interface LogEntry {
  readonly timestamp: string;
  readonly level: string;
  readonly requestId: string;
  readonly message: unknown;
}

type Handler = (event: SNSEvent, context: Context) => Promise<void>;

let requestId = '';

const LEVELS = { debug: 'DEBUG', log: 'INFO', info: 'INFO', warn: 'WARN', error: 'ERROR' } as const;
for (const [method, level] of Object.entries(LEVELS)) {
  console[method as keyof typeof LEVELS] = (message: unknown) =>
    send({ log: { timestamp: new Date().toISOString(), level, requestId, message } });
}

// A parent that was killed cannot end this process.
process.on('disconnect', () => process.exit());

try {
  const { handler } = createRequire(`${process.env.LAMBDA_TASK_ROOT}/`)('./index');
  process.on('message', (message: InvokeMessage) => void invoke(handler, message));
  send({});
} catch (error) {
  send(endOf(error));
}

async function invoke(handler: Handler, { event, invokedFunctionArn, timeoutMs }: InvokeMessage): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  requestId = crypto.randomUUID();
  const context = {
    awsRequestId: requestId,
    invokedFunctionArn,
    getRemainingTimeInMillis: () => deadline - Date.now(),
  };
  try {
    await handler(event as SNSEvent, context as Context);
    send({});
  } catch (error) {
    send(endOf(error));
  }
}

function endOf(error: unknown): EndMessage {
  const { name, message } = error instanceof Error ? error : new Error(String(error));
  return { error: { errorType: name, errorMessage: message } };
}

function send(message: ProcessMessage): void {
  // Sending fails only when the parent has ended. Then 'disconnect' follows.
  process.send?.(message, undefined, undefined, () => {});
}
