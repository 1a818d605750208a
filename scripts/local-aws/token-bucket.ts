export interface TokenBucketSize {
  readonly capacity: number;
  readonly refillPerSecond: number;
}

/**
 * Starts a bucket that is full.
 * @returns a function that takes a token, and says whether there was one.
 */
export function tokenBucket({ capacity, refillPerSecond }: TokenBucketSize): () => boolean {
  let tokens = capacity;
  let filledAt = performance.now();
  return () => {
    const now = performance.now();
    tokens = Math.min(capacity, tokens + ((now - filledAt) / 1000) * refillPerSecond);
    filledAt = now;
    if (tokens < 1) return false;
    tokens -= 1;
    return true;
  };
}
