import type { Consumer } from './consumer.ts';
import { own } from './consumers/own.ts';
import type { Evaluated } from './figures.ts';
import { ANSWER_MS, heartbeatArithmetic, lastRequestsMs, type Plan } from './plan.ts';
import { hasFunction, SCENARIOS, type ScaleIn } from './scenario.ts';

export interface Run {
  readonly plan: Plan;
  /** The consumer of the scenarios with the function. */
  readonly consumer: Consumer;
}

/** Why a run proves nothing, one sentence for each reason. Empty if the function lost nothing and the comparisons did. */
export function problemsOf(run: Run, outcomes: readonly Evaluated[]): string[] {
  return outcomes.flatMap((outcome) => {
    const problems = [
      ...(hasFunction(outcome.name) ? functionProblems(run, outcome, outcomes) : comparisonProblems(outcome)),
      ...(outcome.name === 'complete' ? completionProblems(run, outcome) : []),
      ...commonProblems(hasFunction(outcome.name) ? run.consumer : own, outcome),
    ];
    return problems.map((problem) => `${SCENARIOS[outcome.name]}: ${problem}`);
  });
}

function functionProblems(run: Run, outcome: Evaluated, outcomes: readonly Evaluated[]): string[] {
  const { figures, functionErrors, returned, scaleIns } = outcome;
  const problems = firstOf(functionErrors.map((error) => `the function failed: ${error}`));
  const untagged = scaleIns.filter(({ taggedAt }) => taggedAt === undefined).map(({ instanceId }) => instanceId);
  if (untagged.length > 0) problems.push(`the function set no tag on ${untagged.join(', ')}`);
  else problems.push(...heartbeatProblems(run, outcome));
  if (returned.tagLeft) problems.push(`${returned.instanceId} came back from the warm pool with the tag`);
  if (figures.lost > 0) problems.push(`${figures.lost} of ${figures.sent} requests lost`);
  return [...problems, ...latencyProblems(outcome, outcomes)];
}

function comparisonProblems({ figures }: Evaluated): string[] {
  if (figures.lost > 0) return [];
  return ['no request lost, so the scenario is too easy: real instances die in the middle of requests'];
}

function commonProblems({ name }: Consumer, { consumer, returned, consumerFailures, figures }: Evaluated): string[] {
  const problems = firstOf(consumerFailures.map((failure) => `the consumer failed: ${failure}`));
  if (consumer !== name) problems.push(`the consumer ${name} did not run, but this did: ${consumer}`);
  if (figures.answeredAfterReturn > 0) return problems;
  return [`${returned.instanceId} came back from the warm pool and got no request`, ...problems];
}

/** A consumer may end a wait only after two looks in a row found the instance idle at every HAProxy. */
function completionProblems({ consumer: { lookEveryMs = 0 } }: Run, { scaleIns }: Evaluated): string[] {
  const named = (problem: string, isSo: (scaleIn: ScaleIn) => boolean) => {
    const ids = scaleIns.filter(isSo).map(({ instanceId }) => instanceId);
    return ids.length > 0 ? [`the consumer ${problem} ${ids.join(', ')}`] : [];
  };
  const isTooEarly = ({ completion }: ScaleIn) => completion !== undefined && completion.seenIdleMs < lookEveryMs;
  return [
    ...named('did not end the wait of', ({ completion, hadGuest }) => !completion && !hadGuest),
    ...named('ended the wait while an HAProxy still used', ({ completion }) => completion?.wasIdle === false),
    ...named('ended the wait before two looks in a row at every HAProxy found no connection to', isTooEarly),
  ];
}

// Below this factor, latencies differ by chance. Above it, slow requests wait longer than a server takes to answer.
const SLOW_FACTOR = 2;

/** A request that waits for long is not lost here, but a real client may give up. */
function latencyProblems({ figures: { p99Ms } }: Evaluated, outcomes: readonly Evaluated[]): string[] {
  const compared = outcomes.filter(({ name }) => !hasFunction(name)).map(({ figures }) => figures.p99Ms);
  const best = Math.min(...compared.filter((ms) => ms !== null));
  // A comparison may have lost its slow requests. Then its p99 counts only quick ones.
  const usual = Number.isFinite(best) ? Math.max(best, ANSWER_MS.longest) : ANSWER_MS.longest;
  if (p99Ms === null || p99Ms <= SLOW_FACTOR * usual) return [];
  return [`answers were slow: p99 is ${p99Ms} ms, expected at most ${SLOW_FACTOR * usual} ms`];
}

/** The first texts, each once. */
function firstOf(texts: readonly string[]): string[] {
  return [...new Set(texts)].slice(0, 5);
}

/** A killed instance must be out of HAProxy for so long that its last requests are answered. */
function heartbeatProblems({ plan, consumer }: Run, { scaleIns, figures }: Evaluated): string[] {
  const early = scaleIns.filter(
    ({ outAt = Number.POSITIVE_INFINITY, killedAt = 0, completion }) =>
      !completion && outAt + lastRequestsMs(consumer) > killedAt,
  );
  if (early.length === 0) return [];
  const byLuck = figures.lost === 0 ? 'no request lost, but by luck: ' : '';
  const deliveries = scaleIns.map(({ hookAt = 0, taggedAt = hookAt }) => taggedAt - hookAt);
  const { sentence } = heartbeatArithmetic(consumer, Math.max(0, ...deliveries));
  return [
    `${byLuck}heartbeat timeout too short in ${early.length} of ${scaleIns.length} scale-ins: ` +
      `it is ${(plan.heartbeatMs / 1000).toFixed(2)} s, and has to be at least ${sentence}`,
  ];
}
