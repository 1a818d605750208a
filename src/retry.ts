import { isServerError, isThrottlingError, isTransientError } from '@smithy/core/retry';

/** The time was over before EC2 answered even once. */
export class DeadlineError extends Error {
  override readonly name = 'DeadlineError';
}

/** One call, which ends when the signal is aborted. */
export type Attempt = (options: { readonly abortSignal: AbortSignal }) => Promise<unknown>;

// A short cap keeps a mass scale-in close to the rate at which EC2 refills its bucket, and costs more rejected calls: with
// this one 1000 instances take 1.03 times what the bucket needs at best, 300 take 1.05 (npm run bench -- scale-in).
export const BACKOFF_BASE_MS = 200;
export const BACKOFF_CAP_MS = 4000;

/**
 * Calls EC2 until it takes the call, with full jitter between the attempts.
 * @param until when to give up, in milliseconds since 1970; an attempt under way is then cut off.
 * @throws EC2's own error: at once when it is permanent, the last one when the time is over.
 * @throws DeadlineError when the time is over and EC2 never answered.
 */
export async function retry(attempt: Attempt, until: number): Promise<void> {
  const remainingMs = () => Math.max(0, until - Date.now());
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
      // Somebody else is tagging the same instance; the SDK takes this 400 for permanent.
      error.name === 'ConcurrentTagAccess')
  );
}

function isSdkError(error: unknown): error is Parameters<typeof isTransientError>[0] {
  return error instanceof Error;
}
