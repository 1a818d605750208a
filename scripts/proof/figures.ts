import { align } from '../table.ts';
import { SCENARIOS, type ScenarioOutcome } from './scenario.ts';

/** The figures of a scenario, as `--json` prints them; times in milliseconds. */
export type Figures = ReturnType<typeof figuresOf>;

export interface Evaluated extends ScenarioOutcome {
  readonly figures: Figures;
}

export function evaluate(outcome: ScenarioOutcome): Evaluated {
  return { ...outcome, figures: figuresOf(outcome) };
}

function figuresOf({ name, consumer, commands, results, scaleIns, returned }: ScenarioOutcome) {
  const latencies = results.filter(({ server }) => server !== undefined).map(({ ms }) => ms);
  const lostByCause: Record<string, number> = {};
  for (const { cause } of results) {
    if (cause !== undefined) lostByCause[cause] = (lostByCause[cause] ?? 0) + 1;
  }
  return {
    name,
    consumer,
    // The command lines of the processes that the consumers started.
    commands,
    sent: results.length,
    answered: latencies.length,
    lost: results.length - latencies.length,
    lostByCause,
    // Latencies of answered requests, from the due time of each request.
    p50Ms: percentile(latencies, 50),
    p99Ms: percentile(latencies, 99),
    scaleIns: scaleIns.length,
    hookToTagMs: spread(scaleIns.map(({ hookAt, taggedAt }) => between(hookAt, taggedAt))),
    tagToOutMs: spread(scaleIns.map(({ taggedAt, outAt }) => between(taggedAt, outAt))),
    // How long an instance waited before it was killed.
    waitMs: spread(scaleIns.map(({ hookAt, killedAt }) => between(hookAt, killedAt))),
    // Requests that the instance from the warm pool answered after its return.
    answeredAfterReturn: results.filter(({ server, at }) => server === returned.instanceId && at > returned.at).length,
  };
}

function between(from: number | undefined, to: number | undefined): number | undefined {
  return from === undefined || to === undefined ? undefined : to - from;
}

function spread(times: readonly (number | undefined)[]) {
  const known = times.filter((time) => time !== undefined);
  const [median, longest] = [percentile(known, 50), percentile(known, 100)];
  return median === null || longest === null ? null : { median, longest };
}

/** The nearest-rank percentile, in whole milliseconds. */
function percentile(values: readonly number[], rank: number): number | null {
  const value = values.toSorted((a, b) => a - b)[Math.max(0, Math.ceil((rank / 100) * values.length) - 1)];
  return value === undefined ? null : Math.round(value);
}

/** The figures of the scenarios side by side, as lines of text. */
export function tableOf(figures: readonly Figures[]): string {
  const causes = new Set(figures.flatMap(({ lostByCause }) => Object.keys(lostByCause)));
  const row = (label: string, cell: (figures: Figures) => string) => [label, ...figures.map(cell)];
  const showsWait = figures.some(({ name }) => name === 'complete');
  return align([
    row('', ({ name }) => SCENARIOS[name]),
    row('consumer', ({ consumer }) => consumer),
    row('requests sent', ({ sent }) => count(sent)),
    row('answered', ({ answered }) => count(answered)),
    row('lost', ({ lost }) => count(lost)),
    ...[...causes].sort().map((cause) => row(`  ${cause}`, ({ lostByCause }) => count(lostByCause[cause] ?? 0))),
    row('latency, p50', ({ p50Ms }) => milliseconds(p50Ms)),
    row('latency, p99', ({ p99Ms }) => milliseconds(p99Ms)),
    row('scale-ins', ({ scaleIns }) => count(scaleIns)),
    row('hook to tag, median', ({ hookToTagMs }) => milliseconds(hookToTagMs?.median)),
    row('hook to tag, longest', ({ hookToTagMs }) => milliseconds(hookToTagMs?.longest)),
    row('tag to out of HAProxy, median', ({ tagToOutMs }) => milliseconds(tagToOutMs?.median)),
    row('tag to out of HAProxy, longest', ({ tagToOutMs }) => milliseconds(tagToOutMs?.longest)),
    ...(showsWait
      ? [
          row('wait of an instance, median', ({ waitMs }) => milliseconds(waitMs?.median)),
          row('wait of an instance, longest', ({ waitMs }) => milliseconds(waitMs?.longest)),
        ]
      : []),
    row('answered by the returned instance', ({ answeredAfterReturn }) => count(answeredAfterReturn)),
  ]).join('\n');
}

function count(number: number): string {
  return number.toLocaleString('en');
}

function milliseconds(ms: number | null | undefined): string {
  return ms === null || ms === undefined ? '–' : `${count(ms)} ms`;
}
