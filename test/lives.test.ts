import { CreateTagsCommand, DeleteTagsCommand, EC2Client } from '@aws-sdk/client-ec2';
import { mockClient } from 'aws-sdk-client-mock';
import fc from 'fast-check';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { event, publishedAt } from './helpers/event.ts';
import { coldStart } from './helpers/invoke.ts';

const HEARTBEAT_MS = 300_000;
const DAY_MS = 86_400_000;

const ec2 = mockClient(EC2Client);
let tagged: boolean;
/** The ages, in milliseconds, of the messages that led to a call. */
let agesActedOn: number[];
let deliveredAgeMs: number;

beforeEach(() => {
  vi.useFakeTimers();
  ec2.reset();
  ec2.on(CreateTagsCommand).callsFake(() => change(true));
  ec2.on(DeleteTagsCommand).callsFake(() => change(false));
});
afterEach(() => {
  vi.useRealTimers();
});

function change(to: boolean) {
  tagged = to;
  agesActedOn.push(deliveredAgeMs);
  return {};
}

/** A message of Auto Scaling's, and how long each of its deliveries takes. */
interface Message {
  readonly name: 'terminating' | 'terminating-to-warm-pool' | 'launching-from-warm-pool' | 'launch-notification';
  readonly at: number;
  readonly delaysMs: readonly number[];
}

/** A stretch of an instance's life. In a wait Auto Scaling holds the instance back, as its lifecycle hook asks. */
interface Stretch {
  readonly state: 'in service' | 'waits to leave' | 'waits to come back' | 'in the warm pool' | 'terminated';
  readonly from: number;
  readonly to: number;
}

interface Life {
  readonly messages: readonly Message[];
  readonly stretches: readonly Stretch[];
}

/** Rounds of a life: so long in service, and then so long in the warm pool. The last round ends in termination. */
function livesWith(delay: fc.Arbitrary<number>): fc.Arbitrary<Life> {
  const delaysMs = fc.array(delay, { minLength: 1, maxLength: 3 });
  const round = fc.record({
    servesMs: fc.integer({ min: 0, max: 2 * HEARTBEAT_MS }),
    restsMs: fc.integer({ min: 0, max: 2 * HEARTBEAT_MS }),
    leaving: delaysMs,
    returning: delaysMs,
  });
  return fc.array(round, { minLength: 1, maxLength: 5 }).map((rounds) => {
    const messages: Message[] = [{ name: 'launch-notification', at: 0, delaysMs: [0] }];
    const stretches: Stretch[] = [];
    let now = 0;
    const stay = (state: Stretch['state'], ms: number) => {
      stretches.push({ state, from: now, to: now + ms });
      // One state ends before the next begins, so that no message comes in two of them.
      now += ms + 1;
    };
    const sends = (name: Message['name'], delaysMs: readonly number[]) => messages.push({ name, at: now, delaysMs });
    for (const [index, { servesMs, restsMs, leaving, returning }] of rounds.entries()) {
      const last = index === rounds.length - 1;
      stay('in service', servesMs);
      sends(last ? 'terminating' : 'terminating-to-warm-pool', leaving);
      stay('waits to leave', HEARTBEAT_MS);
      if (last) break;
      stay('in the warm pool', restsMs);
      sends('launching-from-warm-pool', returning);
      stay('waits to come back', HEARTBEAT_MS);
    }
    stay('terminated', HEARTBEAT_MS);
    return { messages, stretches };
  });
}

/** Lets a life happen, and gives back whether the instance carries the tag at the end of each stretch. */
async function live({ messages, stretches }: Life): Promise<(Stretch & { tagged: boolean })[]> {
  tagged = false;
  agesActedOn = [];
  const invoke = await coldStart({ HEARTBEAT_TIMEOUT: String(HEARTBEAT_MS / 1000) });
  const began = Date.parse('2026-11-23T00:00:00.000Z');
  const deliveries = messages
    .flatMap(({ name, at, delaysMs }) => delaysMs.map((delayMs) => ({ name, at, arrives: at + delayMs })))
    .toSorted((a, b) => a.arrives - b.arrives);
  const deliverUntil = async (time: number) => {
    while (deliveries[0] && deliveries[0].arrives <= time) {
      const [{ name, at, arrives }] = deliveries.splice(0, 1) as [(typeof deliveries)[0]];
      deliveredAgeMs = arrives - at;
      vi.setSystemTime(began + arrives);
      await invoke(publishedAt(event(name), new Date(began + at).toISOString()));
    }
  };
  const ends = [];
  for (const stretch of stretches) {
    await deliverUntil(stretch.to);
    ends.push({ ...stretch, tagged });
  }
  await deliverUntil(Number.POSITIVE_INFINITY);
  return ends;
}

it('acts on no message past its limit, however late, repeated and out of order they come', async () => {
  const anyDelay = fc.oneof(
    fc.integer({ min: 0, max: 2 * HEARTBEAT_MS }),
    fc.constantFrom(HEARTBEAT_MS, HEARTBEAT_MS + 1),
    fc.integer({ min: 0, max: 23 * DAY_MS }),
  );
  let refused = 0;
  await fc.assert(
    fc.asyncProperty(livesWith(anyDelay), async (life) => {
      await live(life);
      const asking = life.messages.filter(({ name }) => name !== 'launch-notification');
      const inTime = asking.flatMap(({ delaysMs }) => delaysMs).filter((delayMs) => delayMs <= HEARTBEAT_MS);
      refused += asking.flatMap(({ delaysMs }) => delaysMs).length - inTime.length;
      expect(agesActedOn.toSorted((a, b) => a - b)).toEqual(inTime.toSorted((a, b) => a - b));
    }),
  );
  expect(refused).toBeGreaterThan(50);
});

it('leaves an instance in service untagged, and one that waits to leave tagged, when every message comes in time', async () => {
  const seen = new Map<string, number>();
  await fc.assert(
    fc.asyncProperty(livesWith(fc.integer({ min: 0, max: HEARTBEAT_MS })), async (life) => {
      for (const { state, tagged: has } of await live(life)) {
        seen.set(state, (seen.get(state) ?? 0) + 1);
        if (state === 'in service') expect(has).toBe(false);
        if (state === 'waits to leave') expect(has).toBe(true);
      }
    }),
  );
  expect(Math.min(...['in service', 'waits to leave'].map((state) => seen.get(state) ?? 0))).toBeGreaterThan(50);
});
