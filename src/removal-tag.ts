import { CreateTagsCommand, DeleteTagsCommand, type EC2Client } from '@aws-sdk/client-ec2';
import { isServerError, isThrottlingError, isTransientError } from '@smithy/core/retry';

/** The part of the EC2 client that is used here. */
export type Ec2 = Pick<EC2Client, 'send'>;

/** The tag that asks whoever builds the load balancer's configuration to leave the instance out. */
export interface RemovalTag {
  readonly key: string;
  readonly value: string;
}

/** The function's time ran out before EC2 answered even once. */
export class DeadlineError extends Error {
  override readonly name = 'DeadlineError';
}

/**
 * Sets the tag on an instance.
 * @returns `gone` when EC2 does not know the instance any more: there is nothing left to take out of the load balancer.
 * @param remainingMs milliseconds left to the function, asked before each attempt.
 * @throws EC2's own error: at once when it is permanent, when time runs out otherwise.
 * @throws DeadlineError when time ran out before EC2 gave any answer.
 */
export async function setRemovalTag(ec2: Ec2, tag: RemovalTag, instanceId: string, remainingMs: () => number) {
  const command = new CreateTagsCommand({ Resources: [instanceId], Tags: [{ Key: tag.key, Value: tag.value }] });
  const found = await persist((options) => ec2.send(command, options), remainingMs);
  return found ? 'tagged' : 'gone';
}

/** Clears the tag from an instance, if it has that very value. Results and errors as of {@link setRemovalTag}. */
export async function clearRemovalTag(ec2: Ec2, tag: RemovalTag, instanceId: string, remainingMs: () => number) {
  const command = new DeleteTagsCommand({ Resources: [instanceId], Tags: [{ Key: tag.key, Value: tag.value }] });
  const found = await persist((options) => ec2.send(command, options), remainingMs);
  return found ? 'untagged' : 'gone';
}

// Left unused at the end of the function's time: to write the log line and report the error, on a small CPU share too.
const RESERVED_MS = 1000;

// A short cap keeps a mass scale-in close to the rate at which EC2 refills its bucket, and costs more rejected calls: with
// this one 1000 instances take 1.03 times what the bucket needs at best, 300 take 1.05 (npm run bench -- scale-in).
const BACKOFF_BASE_MS = 200;
const BACKOFF_CAP_MS = 4000;

/** Calls until EC2 takes the call; `false` when it does not know the instance. */
async function persist(
  attempt: (options: { abortSignal: AbortSignal }) => Promise<unknown>,
  remainingMs: () => number,
): Promise<boolean> {
  let lastError: unknown;
  for (let ceiling = BACKOFF_BASE_MS; ; ceiling = Math.min(2 * ceiling, BACKOFF_CAP_MS)) {
    const abortSignal = AbortSignal.timeout(Math.max(0, remainingMs() - RESERVED_MS));
    try {
      await attempt({ abortSignal });
      return true;
    } catch (error) {
      if ((error as Error).name === 'InvalidInstanceID.NotFound') return false;
      if (abortSignal.aborted) {
        throw lastError ?? new DeadlineError("EC2 did not answer before the function's deadline", { cause: error });
      }
      if (!isTransient(error)) throw error;
      lastError = error;
    }
    const delay = Math.random() * ceiling;
    if (delay >= remainingMs() - RESERVED_MS) throw lastError;
    await new Promise((resolve) => setTimeout(resolve, delay));
  }
}

function isTransient(thrown: unknown): boolean {
  const error = thrown as Parameters<typeof isTransientError>[0];
  return (
    isThrottlingError(error) ||
    isTransientError(error) ||
    isServerError(error) ||
    // Somebody else is tagging the same instance; the SDK takes this 400 for permanent.
    error.name === 'ConcurrentTagAccess'
  );
}
