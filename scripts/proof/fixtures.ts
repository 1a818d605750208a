import { filesIn } from '../haproxy.ts';
import type { Consumer, Surroundings } from './consumer.ts';
import { type Evaluated, evaluate } from './figures.ts';
import { configuration, type Servers } from './load-balancer.ts';
import type { Result } from './requests.ts';
import { hasFunction, type ScaleIn, type ScenarioName } from './scenario.ts';

export const consumer: Consumer = {
  name: 'slow',
  intervalMs: 2000,
  runMs: 700,
  lookEveryMs: 1000,
  reloads: true,
  requirement: async () => '1.0',
  start: () => Promise.reject(new Error('tests do not start this consumer')),
};
export const ID = 'i-0a1b2c3d4e5f60700';
export const OTHER = 'i-0a1b2c3d4e5f60701';
export const ON_TIME: ScaleIn = { instanceId: ID, hookAt: 1000, taggedAt: 1010, outAt: 2000, killedAt: 5000 };

export interface Given {
  readonly lost?: number;
  readonly results?: readonly Result[];
  readonly tagLeft?: boolean;
  readonly servesAgain?: boolean;
  readonly scaleIns?: readonly ScaleIn[];
  readonly functionErrors?: readonly string[];
  readonly consumerFailures?: readonly string[];
  readonly consumer?: string;
}

/** A made-up scenario: eleven requests answered in 200 ms, and the given results. */
export function outcome(name: ScenarioName, given: Given = {}): Evaluated {
  const { lost = 0, results = [], tagLeft = false, servesAgain = true, scaleIns = [ON_TIME] } = given;
  const answers = Array.from({ length: 10 }, (_, n) => answered({ at: n * 1000 }));
  const afterReturn = answered({ at: 9000, server: servesAgain ? ID : OTHER });
  const losses = Array.from({ length: lost }, () => failed('502 Bad Gateway'));
  return evaluate({
    name,
    consumer: given.consumer ?? (hasFunction(name) ? consumer.name : 'own'),
    commands: [],
    instanceIds: [ID],
    results: [...answers, afterReturn, ...losses, ...results],
    scaleIns,
    returned: { instanceId: ID, at: 8000, tagLeft },
    functionErrors: given.functionErrors ?? [],
    consumerFailures: [...(given.consumerFailures ?? [])],
  });
}

export function answered(how: Partial<Result> = {}): Result {
  return { at: 5000, ms: 200, server: OTHER, ...how };
}

export function failed(cause: string): Result {
  return { at: 5000, ms: 1, cause };
}

/** The surroundings of a consumer in this folder. By default nothing listens at their addresses. */
export function surroundingsIn(folder: string, given: Partial<Surroundings> = {}): Surroundings {
  return {
    ...filesIn(folder),
    statsSockets: [filesIn(folder).statsSocket],
    staticConfiguration: configuration({ folder, port: 1080, mode: 'plain' }),
    serverPort: 8080,
    group: 'web',
    ec2Url: 'http://127.0.0.1:1',
    region: 'us-west-2',
    environment: { PATH: process.env.PATH ?? '' },
    signal: new AbortController().signal,
    onProgress() {},
    ...given,
  };
}

/** What an HAProxy knows about these servers. */
export function servers({
  inPlace = [],
  busy = [],
}: {
  inPlace?: readonly string[];
  busy?: readonly string[];
}): Servers {
  return { inPlace: new Set(inPlace), busy: new Set(busy) };
}
