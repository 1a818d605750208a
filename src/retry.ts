import { isServerError, isThrottlingError, isTransientError } from '@smithy/core/retry';

/** The deadline passed before EC2 answered. */
export class DeadlineError extends Error {
  override readonly name = 'DeadlineError';
}

/** One call, which ends when the signal is aborted. */
export type Attempt = (options: { readonly abortSignal: AbortSignal }) => Promise<unknown>;

// A short cap tags faster under throttling, but more calls are rejected. docs/proof-and-figures.md has the figures.
const BACKOFF_BASE_MS = 200;
const BACKOFF_CAP_MS = 4000;

/**
 * Calls EC2 until the call succeeds, with full jitter between the attempts.
 * @param deadline when retries stop, in milliseconds since 1970. The deadline also ends an attempt that is in progress.
 * @throws EC2's own error: a permanent error at once, the last transient error at the deadline.
 * @throws DeadlineError when the deadline passes before EC2 answers.
 */
export async function retry(attempt: Attempt, deadline: number): Promise<void> {
  const remainingMs = () => Math.max(0, deadline - Date.now());
  let lastError: unknown;
  for (let ceiling = BACKOFF_BASE_MS; ; ceiling = Math.min(2 * ceiling, BACKOFF_CAP_MS)) {
    const abortSignal = AbortSignal.timeout(remainingMs());
    try {
      await attempt({ abortSignal });
      return;
    } catch (error) {
      if (abortSignal.aborted) {
        throw lastError ?? new DeadlineError('EC2 did not answer in the time that was left', { cause: error });
      }
      if (!isTransient(error)) throw error;
      lastError = error;
    }
    const delay = Math.random() * ceiling;
    if (delay >= remainingMs()) throw lastError;
    await new Promise((resolve) => setTimeout(resolve, delay));
  }
}

function isTransient(error: unknown): boolean {
  return (
    isSdkError(error) &&
    (isThrottlingError(error) ||
      isTransientError(error) ||
      isServerError(error) ||
      // Another program changes tags of the same instance. The SDK calls this error permanent.
      error.name === 'ConcurrentTagAccess')
  );
}

function isSdkError(error: unknown): error is Parameters<typeof isTransientError>[0] {
  return error instanceof Error;
}
