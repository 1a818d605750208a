import { isServerError, isThrottlingError, isTransientError } from '@smithy/core/retry';

/** The deadline passed before EC2 answered. */
export class DeadlineError extends Error {
  override readonly name = 'DeadlineError';
}

// Node's codes for errors of the system, of DNS and of TLS, and for an answer that is not HTTP (HPE_). The other ERR_ codes
// show wrong use of Node. https://nodejs.org/api/errors.html
const CONNECTION_ERROR = /^(?:E(?!RR_)|HPE_|ERR_(?:SOCKET|SSL)_)/;

// The SDK calls these errors permanent.
const TRANSIENT_NAMES = [
  // Another program changes tags of the same instance.
  'ConcurrentTagAccess',
  // EC2 is eventually consistent: https://docs.aws.amazon.com/ec2/latest/devguide/eventual-consistency.html
  'InvalidInstanceID.NotFound',
];

// With a shorter cap, the function tags sooner under throttling, but EC2 rejects more calls.
const BACKOFF_BASE_MS = 200;
const BACKOFF_CAP_MS = 4000;

/**
 * Calls EC2 until the call succeeds, with full jitter between the attempts.
 * @param attempt one call, which ends when the signal is aborted.
 * @param deadline when retries stop, in milliseconds since 1970. The deadline also ends an attempt that is in progress.
 * @throws EC2's own error: a permanent error at once, the last transient error at the deadline.
 * @throws DeadlineError when the deadline passes before EC2 answers.
 */
export async function retry<Result>(
  attempt: (options: { readonly abortSignal: AbortSignal }) => Promise<Result>,
  deadline: number,
): Promise<Result> {
  const remainingMs = () => Math.max(0, deadline - Date.now());
  let lastError: unknown;
  for (let ceiling = BACKOFF_BASE_MS; ; ceiling = Math.min(2 * ceiling, BACKOFF_CAP_MS)) {
    const abortSignal = AbortSignal.timeout(remainingMs());
    try {
      return await attempt({ abortSignal });
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
      error.$metadata?.httpStatusCode === 408 ||
      CONNECTION_ERROR.test(error.code ?? '') ||
      TRANSIENT_NAMES.includes(error.name))
  );
}

function isSdkError(error: unknown): error is Parameters<typeof isTransientError>[0] & { readonly code?: string } {
  return error instanceof Error;
}
