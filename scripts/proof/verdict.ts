import type { Consumer } from './consumer.ts';
import type { Evaluated } from './figures.ts';
import { ANSWER_MS, heartbeatArithmetic, lastRequestsMs, type Plan } from './plan.ts';
import { SCENARIOS, type ScaleIn, type ScenarioOutcome } from './scenario.ts';

/** What a run is judged by. */
export interface Run {
  readonly plan: Plan;
  /** The consumer of the scenario with the function. */
  readonly consumer: Consumer;
}

/** Why a run proves nothing, one sentence for each reason. Empty if the function lost nothing and the comparisons did. */
export function problemsOf(run: Run, outcomes: readonly Evaluated[]): string[] {
  const comparisons = outcomes.filter(({ name }) => name !== 'function');
  return outcomes.flatMap((outcome) => {
    const problems =
      outcome.name === 'function'
        ? [...functionProblems(run, outcome), ...latencyProblems(outcome, comparisons)]
        : comparisonProblems(outcome);
    const all = [...problems, ...commonProblems(outcome)];
    return [...all, ...(all.length > 0 ? busyMachine(outcome) : [])].map(
      (problem) => `${SCENARIOS[outcome.name]}: ${problem}`,
    );
  });
}

const TOO_LATE_MS = 1000;

/** A machine that could not send the load in time may explain the other problems. */
function busyMachine({ figures: { latestMs } }: Evaluated): string[] {
  return latestMs > TOO_LATE_MS
    ? [`this machine was too busy: requests were sent up to ${(latestMs / 1000).toFixed(1)} s late`]
    : [];
}

function functionProblems(run: Run, outcome: Evaluated): string[] {
  const { lost, sent } = outcome.figures;
  const untagged = outcome.scaleIns.filter(({ taggedAt }) => taggedAt === undefined);
  const byLuck = lost === 0 ? 'no request lost, but by luck: ' : '';
  return [
    ...capped(outcome.functionErrors.map((error) => `the function failed: ${error}`)),
    ...(untagged.length > 0
      ? [`the function set no tag on ${untagged.map(({ instanceId }) => instanceId).join(', ')}`]
      : brokenHeartbeatRules(run, outcome).map((rule) => byLuck + rule)),
    ...(outcome.returned.tagLeft ? [`${outcome.returned.instanceId} came back from the warm pool with the tag`] : []),
    ...(lost > 0 ? [`${lost} of ${sent} requests lost${unusual(outcome)}`] : []),
  ];
}

// Below this factor, latencies differ by chance. Above it, slow requests wait longer than a server takes to answer.
const SLOW_FACTOR = 2;

/** A request that waits for long is not lost here, but a real client may give up. */
function latencyProblems({ figures: { p99Ms } }: Evaluated, comparisons: readonly Evaluated[]): string[] {
  const compared = comparisons.flatMap(({ name, figures }) =>
    figures.p99Ms === null ? [] : [{ what: `p99 of the scenario "${SCENARIOS[name]}"`, ms: figures.p99Ms }],
  );
  const [best] = compared.toSorted((a, b) => a.ms - b.ms);
  const answer = { what: 'longest answer of a server', ms: ANSWER_MS.longest };
  // A comparison may have lost its slow requests. Then its p99 counts only quick ones.
  const { what, ms } = best !== undefined && best.ms > answer.ms ? best : answer;
  if (p99Ms === null || p99Ms <= SLOW_FACTOR * ms) return [];
  return [
    `answers were slow: p99 is ${milliseconds(p99Ms)}, expected at most ${milliseconds(SLOW_FACTOR * ms)}, ` +
      `twice the ${what} (${milliseconds(ms)})`,
  ];
}

function milliseconds(ms: number): string {
  return `${ms.toLocaleString('en')} ms`;
}

function comparisonProblems({ figures }: Evaluated): string[] {
  const tooEasy = 'no request lost, so the scenario is too easy: real instances die in the middle of requests';
  return figures.lost === 0 ? [tooEasy] : [];
}

function commonProblems({ returned, consumerFailures, figures }: Evaluated): string[] {
  return [
    ...(figures.answeredAfterReturn > 0
      ? []
      : [`${returned.instanceId} came back from the warm pool and got no request`]),
    ...capped(consumerFailures.map((failure) => `the consumer failed: ${failure}`)),
  ];
}

/** Details of lost requests that the table only counts as "other". */
function unusual({ results }: ScenarioOutcome): string {
  const details = capped(results.flatMap(({ cause, detail }) => (cause === 'other' && detail ? [detail] : [])));
  return details.length > 0 ? ` (other: ${details.join(', ')})` : '';
}

const MOST_DETAILS = 5;

/** Removes duplicates, and cuts the list at MOST_DETAILS. */
function capped(texts: readonly string[]): string[] {
  const once = [...new Set(texts)];
  const left = once.length - MOST_DETAILS;
  return left > 0 ? [...once.slice(0, MOST_DETAILS), `and ${left} more`] : once;
}

/**
 * Compares the heartbeat timeout with the times that were measured.
 * @returns a sentence for each part that did not fit into the timeout.
 */
function brokenHeartbeatRules(run: Run, { scaleIns }: ScenarioOutcome): string[] {
  const short = scaleIns.map((scaleIn) => missedPart(run.consumer, scaleIn));
  return PARTS.map((part) => ({ part, times: short.filter((other) => other === part).length }))
    .filter(({ times }) => times > 0)
    .map(
      ({ part, times }) =>
        `heartbeat timeout too short for ${part}, in ${times} of ${scaleIns.length} scale-ins: ${explain(run, scaleIns)}`,
    );
}

const PARTS = [
  'the delivery of the message and its retries',
  "the consumer's interval and run",
  'the last requests (a connection kept alive by the old worker, the longest request)',
] as const;
type Part = (typeof PARTS)[number];

function missedPart(consumer: Consumer, { taggedAt, outAt, killedAt }: ScaleIn): Part | undefined {
  if (killedAt === undefined) return undefined;
  if (taggedAt === undefined || taggedAt > killedAt) return PARTS[0];
  if (outAt === undefined || outAt > killedAt) return PARTS[1];
  return outAt + lastRequestsMs(consumer) > killedAt ? PARTS[2] : undefined;
}

function explain({ plan, consumer }: Run, scaleIns: readonly ScaleIn[]): string {
  const deliveries = scaleIns.map(({ hookAt = 0, taggedAt = hookAt }) => taggedAt - hookAt);
  const { sentence } = heartbeatArithmetic(consumer, Math.max(0, ...deliveries));
  return `it is ${(plan.heartbeatMs / 1000).toFixed(2)} s, and has to be at least ${sentence}`;
}
