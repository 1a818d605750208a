import type { MessageIds } from './lifecycle-message.ts';

export type Result =
  /** `delayMs`: milliseconds from the message's `Time` to the tag; absent when the message has no valid time. */
  | { readonly outcome: 'tagged' | 'untagged'; readonly delayMs?: number }
  | { readonly outcome: 'ignored'; readonly reason: string }
  | { readonly outcome: 'gone' };

/** Identifies the message of a log line. `region` is the topic's region. */
export type LogContext = MessageIds & { readonly region?: string };

/** Logs a record that was handled. Lambda's JSON log format puts the object under `message`. */
export function logResult(result: Result, context: LogContext): void {
  const log = result.outcome === 'gone' ? console.warn : console.info;
  log({ ...result, ...context });
}

export function logFailure(error: unknown, context: LogContext): void {
  console.error({ outcome: 'failed', ...context, reason: String(error) });
}
