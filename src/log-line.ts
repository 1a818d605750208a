import type { MessageNames } from './lifecycle-message.ts';

/** What came of a record. */
export type Result =
  /** `delayMs`: milliseconds from the message's `Time` to the tag, when it has one. */
  | { readonly outcome: 'tagged' | 'untagged'; readonly delayMs?: number }
  | { readonly outcome: 'ignored'; readonly reason: string }
  | { readonly outcome: 'gone' };

/** Which message it was: the names in it, and the region of its topic. */
export type About = MessageNames & { readonly region?: string };

/** Writes the one line of a record that was handled; Lambda's JSON log format nests it under `message`. */
export function logResult(result: Result, about: About): void {
  const log = result.outcome === 'gone' ? console.warn : console.info;
  log({ ...result, ...about });
}

/** Writes the one line of a record that was not. */
export function logFailure(error: unknown, about: About): void {
  console.error({ outcome: 'failed', ...about, reason: String(error) });
}
