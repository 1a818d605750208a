import { figuresOf } from './figures.ts';
import { SCENARIOS, type ScenarioName, type ScenarioOutcome } from './scenario.ts';

/** What a scenario's part of the chart shows. Times are seconds; rows are servers, from the top. */
export interface Panel {
  readonly panel: ScenarioName;
  readonly title: string;
  readonly verdict: string;
  readonly anyLost: boolean;
  /** When each server answered; `rate` in requests per second. */
  readonly served: readonly { panel: ScenarioName; row: number; from: number; to: number; rate: number }[];
  readonly lost: readonly { panel: ScenarioName; from: number; to: number; rate: number }[];
  readonly moments: readonly { panel: ScenarioName; row: number; at: number; what: Moment }[];
  /** From the hook to the kill. */
  readonly waits: readonly { panel: ScenarioName; row: number; from: number; to: number }[];
}

export const MOMENTS = ['hook', 'tag', 'reload', 'kill', 'return'] as const;
export type Moment = (typeof MOMENTS)[number];

const SERVED_BIN_MS = 1000;
const LOST_BIN_MS = 500;

/** Puts a scenario into the chart's terms. */
export function panelOf(outcome: ScenarioOutcome): Panel {
  const { name: panel, results, scaleIns, returned, instanceIds } = outcome;
  const { lost, sent } = figuresOf(outcome);
  const rowOf = (instanceId: string) => instanceIds.indexOf(instanceId);
  const times = (keep: (server: string | undefined) => boolean) =>
    results.filter(({ server }) => keep(server)).map(({ at }) => at);
  const moments = scaleIns.flatMap(({ instanceId, hookAt, taggedAt, outAt, killedAt }) =>
    Object.entries({ hook: hookAt, tag: taggedAt, reload: outAt, kill: killedAt }).flatMap(([what, at]) =>
      at === undefined ? [] : [{ panel, row: rowOf(instanceId), at: at / 1000, what: what as Moment }],
    ),
  );
  return {
    panel,
    title: SCENARIOS[panel],
    verdict: `${lost.toLocaleString('en')} of ${sent.toLocaleString('en')} requests lost`,
    anyLost: lost > 0,
    served: instanceIds.flatMap((instanceId, row) =>
      stretches(times((server) => server === instanceId)).map((stretch) => ({ panel, row, ...stretch })),
    ),
    lost: [
      ...bins(
        times((server) => server === undefined),
        LOST_BIN_MS,
      ),
    ].map(([bin, { length }]) => ({
      panel,
      from: (bin * LOST_BIN_MS) / 1000,
      to: ((bin + 1) * LOST_BIN_MS) / 1000,
      rate: (length * 1000) / LOST_BIN_MS,
    })),
    moments: [...moments, { panel, row: rowOf(returned.instanceId), at: returned.at / 1000, what: 'return' }],
    waits: scaleIns.flatMap(({ instanceId, hookAt, killedAt }) =>
      hookAt === undefined || killedAt === undefined
        ? []
        : [{ panel, row: rowOf(instanceId), from: hookAt / 1000, to: killedAt / 1000 }],
    ),
  };
}

/** The times of each bin that has any. */
function bins(times: readonly number[], binMs: number): Map<number, number[]> {
  return Map.groupBy(times, (time) => Math.floor(time / binMs));
}

// Steps of the rate that the eye can tell apart.
const RATE_STEP = 35;

/** The stretches of time in which the rate stays about the same, from their first request to their last. */
function stretches(times: readonly number[]): { from: number; to: number; rate: number }[] {
  const found: { bin: number; from: number; to: number; rate: number }[] = [];
  for (const [bin, inBin] of bins(times, SERVED_BIN_MS)) {
    const rate = Math.ceil((inBin.length * 1000) / SERVED_BIN_MS / RATE_STEP) * RATE_STEP;
    const [from = 0, to = 0] = [inBin.at(0), inBin.at(-1)].map((ms = 0) => ms / 1000);
    const before = found.at(-1);
    if (before?.bin === bin - 1) {
      // No gap is drawn where there is none.
      before.to = before.rate === rate ? to : from;
      if (before.rate === rate) before.bin = bin;
    }
    if (before?.bin !== bin) found.push({ bin, from, to, rate });
  }
  return found;
}
