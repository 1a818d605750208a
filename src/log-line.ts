import type { MessageIds } from './lifecycle-message.ts';

export type Result =
  /** `delayMs`: milliseconds from the message's `Time` to the tag; absent if this time cannot be right. */
  | { readonly outcome: 'tagged' | 'untagged'; readonly delayMs?: number }
  | { readonly outcome: 'ignored'; readonly reason: string }
  | { readonly outcome: 'gone' };

/** Identifies the message of a log line. SNS sets `messageId` and `region`; the other fields are the message's own. */
export type LogContext = MessageIds & { readonly messageId?: string; readonly region?: string };

/** Logs a record that was handled. Lambda's JSON log format puts the object under `message`. */
export function logResult(result: Result, context: LogContext): void {
  const log = result.outcome === 'gone' ? console.warn : console.info;
  log({ ...result, ...context });
}

export function logFailure(error: unknown, context: LogContext): void {
  console.error({ outcome: 'failed', ...context, reason: String(error) });
}
