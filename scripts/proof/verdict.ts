import type { Consumer } from './consumer.ts';
import type { Evaluated } from './figures.ts';
import { ANSWER_MS, heartbeatArithmetic, lastRequestsMs, type Plan } from './plan.ts';
import { SCENARIOS, type ScaleIn } from './scenario.ts';

export interface Run {
  readonly plan: Plan;
  /** The consumer of the scenario with the function. */
  readonly consumer: Consumer;
}

/** Why a run proves nothing, one sentence for each reason. Empty if the function lost nothing and the comparisons did. */
export function problemsOf(run: Run, outcomes: readonly Evaluated[]): string[] {
  return outcomes.flatMap((outcome) => {
    const problems = [
      ...(outcome.name === 'function' ? functionProblems(run, outcome, outcomes) : comparisonProblems(outcome)),
      ...commonProblems(outcome),
    ];
    if (problems.length > 0) problems.push(...busyMachine(outcome));
    return problems.map((problem) => `${SCENARIOS[outcome.name]}: ${problem}`);
  });
}

function functionProblems(run: Run, outcome: Evaluated, outcomes: readonly Evaluated[]): string[] {
  const { figures, functionErrors, returned, scaleIns } = outcome;
  const problems = capped(functionErrors.map((error) => `the function failed: ${error}`));
  const untagged = scaleIns.filter(({ taggedAt }) => taggedAt === undefined).map(({ instanceId }) => instanceId);
  if (untagged.length > 0) problems.push(`the function set no tag on ${untagged.join(', ')}`);
  else problems.push(...heartbeatProblems(run, outcome));
  if (returned.tagLeft) problems.push(`${returned.instanceId} came back from the warm pool with the tag`);
  if (figures.lost > 0) problems.push(`${figures.lost} of ${figures.sent} requests lost${unusualCauses(outcome)}`);
  return [...problems, ...latencyProblems(outcome, outcomes)];
}

function comparisonProblems({ figures }: Evaluated): string[] {
  if (figures.lost > 0) return [];
  return ['no request lost, so the scenario is too easy: real instances die in the middle of requests'];
}

function commonProblems({ returned, consumerFailures, figures }: Evaluated): string[] {
  const problems = capped(consumerFailures.map((failure) => `the consumer failed: ${failure}`));
  if (figures.answeredAfterReturn > 0) return problems;
  return [`${returned.instanceId} came back from the warm pool and got no request`, ...problems];
}

const TOO_LATE_MS = 1000;

/** A machine that could not send the load in time may explain the other problems. */
function busyMachine({ figures: { latestMs } }: Evaluated): string[] {
  if (latestMs <= TOO_LATE_MS) return [];
  return [`this machine was too busy: requests were sent up to ${(latestMs / 1000).toFixed(1)} s late`];
}

// Below this factor, latencies differ by chance. Above it, slow requests wait longer than a server takes to answer.
const SLOW_FACTOR = 2;

/** A request that waits for long is not lost here, but a real client may give up. */
function latencyProblems({ figures: { p99Ms } }: Evaluated, outcomes: readonly Evaluated[]): string[] {
  const compared = outcomes.flatMap(({ name, figures: { p99Ms: ms } }) =>
    name === 'function' || ms === null ? [] : [{ what: `p99 of the scenario "${SCENARIOS[name]}"`, ms }],
  );
  const [best] = compared.toSorted((a, b) => a.ms - b.ms);
  const answer = { what: 'longest answer of a server', ms: ANSWER_MS.longest };
  // A comparison may have lost its slow requests. Then its p99 counts only quick ones.
  const { what, ms } = best && best.ms > answer.ms ? best : answer;
  if (p99Ms === null || p99Ms <= SLOW_FACTOR * ms) return [];
  return [
    `answers were slow: p99 is ${milliseconds(p99Ms)}, expected at most ${milliseconds(SLOW_FACTOR * ms)}, ` +
      `twice the ${what} (${milliseconds(ms)})`,
  ];
}

function milliseconds(ms: number): string {
  return `${ms.toLocaleString('en')} ms`;
}

/** Details of the lost requests that the table counts as "other". */
function unusualCauses({ results }: Evaluated): string {
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

/** A sentence for each part of the heartbeat timeout during which instances were killed. */
function heartbeatProblems(run: Run, { scaleIns, figures }: Evaluated): string[] {
  const byLuck = figures.lost === 0 ? 'no request lost, but by luck: ' : '';
  const byPart = Map.groupBy(scaleIns, (scaleIn) => missedPart(run.consumer, scaleIn));
  return PARTS.flatMap((part) => {
    const times = byPart.get(part)?.length ?? 0;
    if (times === 0) return [];
    const where = `in ${times} of ${scaleIns.length} scale-ins`;
    return [`${byLuck}heartbeat timeout too short for ${part}, ${where}: ${explain(run, scaleIns)}`];
  });
}

const PARTS = [
  'the delivery of the message and its retries',
  "the consumer's interval and run",
  'the last requests (a connection kept alive by the old worker, the longest request)',
] as const;
type Part = (typeof PARTS)[number];

/** The part of the heartbeat timeout during which an instance was killed; undefined if the kill was late enough. */
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
