/** So many tokens, and so many more each second. */
export interface TokenBucketSize {
  readonly capacity: number;
  readonly refillPerSecond: number;
}

/** A bucket that is full at first. What it returns takes a token, if there is one. */
export function tokenBucket({ capacity, refillPerSecond }: TokenBucketSize): () => boolean {
  let tokens = capacity;
  let filled = performance.now();
  return () => {
    const now = performance.now();
    tokens = Math.min(capacity, tokens + ((now - filled) / 1000) * refillPerSecond);
    filled = now;
    if (tokens < 1) return false;
    tokens -= 1;
    return true;
  };
}
