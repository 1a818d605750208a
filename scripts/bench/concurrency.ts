import { uniformInt } from 'pure-rand/distribution/uniformInt';
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus';
import { BACKOFF_BASE_MS, BACKOFF_CAP_MS } from '../../src/retry.ts';
import { round, type Table } from './table.ts';

/** EC2's limit for CreateTags: https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-throttling.html */
export const BUCKET = { capacity: 100, refillPerSecond: 10 };

/** The function's timeout and the heartbeat timeout, as template.yaml has them by default. */
export const TIMEOUT_MS = 120_000;
export const HEARTBEAT_TIMEOUT_MS = 300_000;

// The function keeps this last second for itself (RESERVED_MS in src/handler.ts).
const RETRIES_MS = TIMEOUT_MS - 1000;

// What one call of EC2 takes: the way there and back, and the rest of an invocation. An assumption.
const CALL_MS = 200;

// "The retry interval increases exponentially from 1 second after the first attempt to a maximum of 5 minutes"; after a
// function's error, one minute and then two: https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
const THROTTLED_BASE_MS = 1000;
const THROTTLED_CAP_MS = 300_000;
const FAILED_MS = 60_000;

const SIZES = [20, 100, 300, 1000];
const LIMITS = [5, 10, 50, Number.POSITIVE_INFINITY];

/** A mass scale-in when only so many copies of the function may run at the same time, in virtual time. */
export function concurrency(): Table {
  const rows = SIZES.flatMap((instances) =>
    LIMITS.map((copies) => {
      const { taggedAt, givenUp, throttled } = simulate(instances, copies, 1);
      return {
        N: String(instances),
        'copies allowed': copies === Number.POSITIVE_INFINITY ? 'no limit' : copies,
        'tagged within 300 s': taggedAt.length,
        'given up': givenUp,
        'last tag, s': round(Math.max(...taggedAt) / 1000, 1),
        'throttled attempts': throttled,
      };
    }),
  );
  return {
    title: 'A limit for copies at the same time, on paper: N instances at the same moment',
    rows,
    notes: [
      `A simulation. EC2's bucket as above; heartbeat timeout and event age ${HEARTBEAT_TIMEOUT_MS / 1000} s; a copy that waits for EC2 keeps its place; a call takes ${CALL_MS} ms.`,
      'Lambda tries a throttled event again after 1 s, 2 s, 4 s … 5 min. How it spreads these is not documented: here each wait is a half to the whole of that. With many events in its queue it waits longer.',
    ],
  };
}

/** What became of a scale-in; times in milliseconds since it began. */
export interface Outcome {
  readonly taggedAt: readonly number[];
  readonly invocations: readonly { readonly from: number; readonly to: number }[];
  /** Events that became too old before they led to a tag. */
  readonly givenUp: number;
  /** How often Lambda had no room for an event. */
  readonly throttled: number;
}

/** Simulates a scale-in of so many instances at once, with at most so many copies of the function. */
export function simulate(instances: number, copies: number, seed: number): Outcome {
  const generator = xoroshiro128plus(seed);
  const random = () => uniformInt(generator, 0, 999_999) / 1e6;
  const agenda: { readonly at: number; readonly happen: () => void }[] = [];
  const taggedAt: number[] = [];
  const invocations: { from: number; to: number }[] = [];
  let [now, running, givenUp, throttled] = [0, 0, 0, 0];
  let bucket = { calls: BUCKET.capacity, at: 0 };

  for (let instance = 0; instance < instances; instance += 1) deliver(THROTTLED_BASE_MS, 0);
  for (let next = agenda.shift(); next; next = agenda.shift()) {
    now = next.at;
    next.happen();
  }
  return { taggedAt, invocations, givenUp, throttled };

  function after(delay: number, happen: () => void): void {
    const at = now + delay;
    const later = agenda.findIndex((entry) => entry.at > at);
    agenda.splice(later < 0 ? agenda.length : later, 0, { at, happen });
  }

  /** Lambda hands an event over, or tries again later when it has no room for one more copy. */
  function deliver(wait: number, failures: number): void {
    if (running < copies) {
      invoke(failures);
      return;
    }
    throttled += 1;
    const delay = wait * (0.5 + random() / 2);
    retryLater(delay, () => deliver(Math.min(2 * wait, THROTTLED_CAP_MS), failures));
  }

  function retryLater(delay: number, happen: () => void): void {
    // Too old by then: Lambda hands it to the failure queue.
    if (now + delay >= HEARTBEAT_TIMEOUT_MS) givenUp += 1;
    else after(delay, happen);
  }

  function invoke(failures: number): void {
    const from = now;
    const until = Math.min(HEARTBEAT_TIMEOUT_MS, from + RETRIES_MS);
    running += 1;
    attempt(BACKOFF_BASE_MS);

    /** The loop of src/retry.ts: full jitter below a ceiling that doubles. */
    function attempt(ceiling: number): void {
      const isTagged = takeFromBucket();
      if (isTagged) taggedAt.push(now);
      after(CALL_MS, () => {
        const delay = random() * ceiling;
        if (!isTagged && now + delay < until) {
          after(delay, () => attempt(Math.min(2 * ceiling, BACKOFF_CAP_MS)));
        } else {
          running -= 1;
          invocations.push({ from, to: now });
          // A third try would begin later than the heartbeat timeout, so nothing counts them.
          if (!isTagged) retryLater((failures + 1) * FAILED_MS, () => deliver(THROTTLED_BASE_MS, failures + 1));
        }
      });
    }
  }

  function takeFromBucket(): boolean {
    const refilled = ((now - bucket.at) / 1000) * BUCKET.refillPerSecond;
    const calls = Math.min(BUCKET.capacity, bucket.calls + refilled);
    bucket = { calls: calls >= 1 ? calls - 1 : calls, at: now };
    return calls >= 1;
  }
}
