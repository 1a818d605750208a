import type { Consumer } from './consumer.ts';
import { type Evaluated, evaluate } from './figures.ts';
import type { Result } from './load.ts';
import type { ScaleIn, ScenarioName } from './scenario.ts';

export const consumer: Consumer = {
  name: 'slow',
  intervalMs: 2000,
  runMs: 700,
  reloads: true,
  requirement: async () => '1.0',
  start: () => Promise.reject(new Error('is not started here')),
};
export const ID = 'i-0a1b2c3d4e5f60700';
export const OTHER = 'i-0a1b2c3d4e5f60701';
export const ON_TIME: ScaleIn = { instanceId: ID, hookAt: 1000, taggedAt: 1010, outAt: 2000, killedAt: 5000 };

interface Given {
  readonly lost?: number;
  readonly results?: readonly Result[];
  readonly tagLeft?: boolean;
  readonly servesAgain?: boolean;
  readonly scaleIn?: ScaleIn;
  readonly functionErrors?: readonly string[];
  readonly consumerFailures?: readonly string[];
}

/** A made-up scenario: eleven requests answered in 200 ms, and whatever is given. */
export function given(name: ScenarioName, options: Given = {}): Evaluated {
  const { lost = 0, results = [], tagLeft = false, servesAgain = true, scaleIn = ON_TIME } = options;
  const answers = Array.from({ length: 10 }, (_, n) => answered({ at: n * 1000 }));
  const afterReturn = answered({ at: 9000, server: servesAgain ? ID : OTHER });
  const losses = Array.from({ length: lost }, () => failed({ cause: '502' }));
  return evaluate({
    name,
    consumer: consumer.name,
    instanceIds: [ID],
    results: [...answers, afterReturn, ...losses, ...results],
    scaleIns: [scaleIn],
    returned: { instanceId: ID, at: 8000, tagLeft },
    functionErrors: options.functionErrors ?? [],
    consumerFailures: options.consumerFailures ?? [],
  });
}

export function answered(how: Partial<Result> = {}): Result {
  return { at: 5000, lateMs: 0, ms: 200, server: OTHER, ...how };
}

export function failed(how: Pick<Result, 'cause' | 'detail'>): Result {
  return { at: 5000, lateMs: 0, ms: 1, ...how };
}
