import { setImmediate } from 'node:timers/promises';
import type { Terminal } from '../command.ts';
import { fill } from '../local-aws/ec2-endpoint.ts';
import { median, round, type Table } from '../table.ts';

/** EC2's limit for a filtered DescribeInstances: https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-throttling.html */
const BUCKET = { capacity: 100, refillPerSecond: 20 };

const INSTANCES = 5000;
/** EC2 returns at most 1000 instances a page, and each page is a call. */
const PAGES = INSTANCES / 1000;

/** Numbers of HAProxies. */
const HAPROXIES: readonly number[] = [10, 50, 200];

/** The template's default. After this time, the instance of the tag is dead. */
const HEARTBEAT_SECONDS = 300;
const TAGS = 20;

// Measured with the AWS CLI, socat and HAProxy on one machine. On AWS, the network adds to these times.
const CLI_START_SECONDS = 0.5;
const PAGE_SECONDS = 0.15;
const SOCKET_SECONDS = 0.05;

/** The AWS CLI's default: https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html */
const ATTEMPTS = 5;

// The default and the limits of drain-tagged-servers.sh.
const INTERVAL = 2;
const LONGEST_PAUSE = 10;
const LONGEST_LOOK_SECONDS = 20;

/** How the scripts of all HAProxies run. */
interface Variant {
  readonly name: string;
  /** The HAProxies of one script. */
  readonly sockets: (haproxies: number) => number;
  readonly interval: (haproxies: number) => number;
  readonly backsOff: boolean;
  /** Seconds that a look may take. */
  readonly longestLook: number;
}

const SHIPPED: Variant = {
  name: 'a script each, as shipped',
  sockets: () => 1,
  interval: () => INTERVAL,
  backsOff: true,
  longestLook: LONGEST_LOOK_SECONDS,
};

const VARIANTS: readonly Variant[] = [
  { ...SHIPPED, name: 'a script each, fixed interval', backsOff: false, longestLook: Number.POSITIVE_INFINITY },
  SHIPPED,
  {
    ...SHIPPED,
    name: 'a script each, longer interval',
    // Half of the limit is left for other callers.
    interval: (haproxies) => (2 * haproxies * PAGES) / BUCKET.refillPerSecond,
  },
  { ...SHIPPED, name: 'one script for all', sockets: (haproxies) => haproxies },
];

/** Simulates the scripts of many HAProxies that share EC2's limit. */
export async function consumers({ err, signal }: Terminal): Promise<Table> {
  const rows = [];
  for (const haproxies of HAPROXIES) {
    for (const variant of VARIANTS) {
      err(`consumers: ${haproxies} HAProxies, ${variant.name}`);
      // Ctrl-C reaches the process only here.
      await setImmediate(undefined, { signal });
      rows.push(simulate(variant, haproxies));
    }
  }
  return {
    title: `Many HAProxies: ${INSTANCES} instances, ${PAGES} calls a look, from a tag to the last HAProxy`,
    rows,
    notes: [
      `Simulated time, with the bucket of the local EC2 endpoint: ${BUCKET.capacity} calls, refilled at ${BUCKET.refillPerSecond} per second. ${TAGS} tags, one every ${HEARTBEAT_SECONDS} s.`,
    ],
  };
}

function simulate({ name, sockets, interval, backsOff, longestLook }: Variant, haproxies: number) {
  const clock = { seconds: 0 };
  const random = randomNumbers();
  // With equal times, the same scripts would get all new tokens.
  const about = (seconds: number) => seconds * (0.5 + random());
  const takeToken = fill(BUCKET, () => clock.seconds * 1000);
  const scripts = haproxies / sockets(haproxies);
  let calls = 0;
  let rejected = 0;

  // The first tag comes late enough for the bucket to be as full as it stays.
  const tags = Array.from({ length: TAGS }, (_, n) => ({
    at: (n + 1 + random()) * HEARTBEAT_SECONDS,
    page: Math.floor(random() * PAGES),
    drainedAt: Array<number>(scripts).fill(Number.POSITIVE_INFINITY),
  }));

  /**
   * Calls EC2 as the AWS CLI does. Yields the seconds that pass, and returns the time of each page's call, or nothing
   * when EC2 rejected all attempts for a page, or the look took too long.
   */
  function* look(): Generator<number, number[] | undefined> {
    const deadline = clock.seconds + longestLook;
    yield about(CLI_START_SECONDS);
    const calledAt: number[] = [];
    while (calledAt.length < PAGES) {
      for (let attempt = 1; ; attempt += 1) {
        if (clock.seconds > deadline) return undefined;
        calls += 1;
        if (takeToken()) break;
        rejected += 1;
        if (attempt === ATTEMPTS) return undefined;
        yield random() * 2 ** (attempt - 1);
      }
      calledAt.push(clock.seconds);
      yield about(PAGE_SECONDS);
    }
    return calledAt;
  }

  /** The loop of drain-tagged-servers.sh. Yields the seconds that pass. */
  function* script(number: number): Generator<number, never> {
    yield random() * interval(haproxies);
    for (let failures = 0; ; ) {
      const calledAt = yield* look();
      failures = calledAt ? 0 : failures + 1;
      if (calledAt) {
        yield about(sockets(haproxies) * SOCKET_SECONDS);
        for (const { at, page, drainedAt } of tags) {
          if ((calledAt[page] ?? 0) >= at) drainedAt[number] = Math.min(drainedAt[number] ?? 0, clock.seconds);
        }
      }
      const longest = failures > 0 && backsOff ? Math.min(LONGEST_PAUSE, interval(haproxies) * 2 ** failures) : 0;
      yield interval(haproxies) + random() * longest;
    }
  }

  run(
    Array.from({ length: scripts }, (_, number) => script(number)),
    clock,
    (TAGS + 2) * HEARTBEAT_SECONDS,
  );
  const seconds = tags.map(({ at, drainedAt }) => Math.max(...drainedAt) - at);
  return {
    variant: name,
    HAProxies: haproxies,
    'interval, s': interval(haproxies),
    'calls a second': round(calls / clock.seconds, 1),
    'rejected, %': round((100 * rejected) / calls),
    'median, s': shown(median(seconds)),
    'worst, s': shown(Math.max(...seconds)),
  };
}

/** Runs programs on a simulated clock until a time. Each program yields the seconds until its next step. */
function run(programs: readonly Generator<number, never>[], clock: { seconds: number }, until: number): void {
  const steps = programs.map((program) => ({ program, at: 0 }));
  for (;;) {
    const next = steps.reduce((first, step) => (step.at < first.at ? step : first));
    if (next.at > until) return;
    clock.seconds = next.at;
    next.at += next.program.next().value;
  }
}

function shown(seconds: number): number | string {
  return seconds > HEARTBEAT_SECONDS ? `over ${HEARTBEAT_SECONDS}` : round(seconds, 1);
}

/** Numbers from 0 to 1, the same in each run: the generator SplitMix32. */
function randomNumbers(): () => number {
  let state = 1;
  return () => {
    state = (state + 0x9e3779b9) | 0;
    let mixed = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
    return ((mixed ^ (mixed >>> 15)) >>> 0) / 2 ** 32;
  };
}
