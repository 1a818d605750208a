import type { Consumer } from './consumer.ts';
import { figuresOf } from './figures.ts';
import { heartbeatArithmetic, lastRequestsMs, type Plan } from './plan.ts';
import { SCENARIOS, type ScaleIn, type ScenarioOutcome } from './scenario.ts';

/** What a run is held against. */
export interface Terms {
  readonly plan: Plan;
  readonly consumer: Consumer;
}

/** Why a run proves nothing: a sentence for each reason, none when the function kept its word and nobody else could. */
export function problemsOf(terms: Terms, outcomes: readonly ScenarioOutcome[]): string[] {
  return outcomes.flatMap((outcome) => {
    const problems = outcome.name === 'function' ? functionProblems(terms, outcome) : comparisonProblems(outcome);
    const all = [...problems, ...commonProblems(outcome)];
    return [...all, ...(all.length > 0 ? excuse(outcome) : [])].map(
      (problem) => `${SCENARIOS[outcome.name]}: ${problem}`,
    );
  });
}

const TOO_LATE_MS = 1000;

/** That the machine could not even send the load in time may explain the rest. */
function excuse(outcome: ScenarioOutcome): string[] {
  const { latestMs } = figuresOf(outcome);
  return latestMs > TOO_LATE_MS
    ? [`this machine was too busy: requests were sent up to ${(latestMs / 1000).toFixed(1)} s late`]
    : [];
}

function functionProblems(terms: Terms, outcome: ScenarioOutcome): string[] {
  const { lost, sent } = figuresOf(outcome);
  const untagged = outcome.scaleIns.filter(({ taggedAt }) => taggedAt === undefined);
  const byLuck = lost === 0 ? 'no request lost, but by luck: ' : '';
  return [
    ...capped(outcome.functionErrors.map((error) => `the function failed: ${error}`)),
    ...(untagged.length > 0
      ? [`the function set no tag on ${untagged.map(({ instanceId }) => instanceId).join(', ')}`]
      : brokenHeartbeatRules(terms, outcome).map((rule) => byLuck + rule)),
    ...(outcome.returned.tagLeft
      ? [`${outcome.returned.instanceId} came back from the warm pool with its tag on`]
      : []),
    ...(lost > 0 ? [`${lost} of ${sent} requests lost${unusual(outcome)}`] : []),
  ];
}

function comparisonProblems(outcome: ScenarioOutcome): string[] {
  const tooKind = 'no request lost, so the scenario is too kind: real instances die in the middle of requests';
  return figuresOf(outcome).lost === 0 ? [tooKind] : [];
}

function commonProblems(outcome: ScenarioOutcome): string[] {
  const { returned, consumerFailures } = outcome;
  return [
    ...(figuresOf(outcome).answeredAfterReturn > 0
      ? []
      : [`${returned.instanceId} came back from the warm pool and got no request`]),
    ...capped(consumerFailures.map((failure) => `the consumer failed: ${failure}`)),
  ];
}

/** What the causes of the table do not say. */
function unusual({ results }: ScenarioOutcome): string {
  const details = capped(results.flatMap(({ cause, detail }) => (cause === 'other' && detail ? [detail] : [])));
  return details.length > 0 ? ` (other: ${details.join(', ')})` : '';
}

const MOST_DETAILS = 5;

/** Each text once, and no more of them than one reads. */
function capped(texts: readonly string[]): string[] {
  const once = [...new Set(texts)];
  const left = once.length - MOST_DETAILS;
  return left > 0 ? [...once.slice(0, MOST_DETAILS), `and ${left} more`] : once;
}

/**
 * Holds the waiting time against the rule for it: heartbeat timeout ≥ delivery and retries + the consumer's interval and
 * run + the last wait of a kept-alive connection + the longest request.
 * @returns one sentence for each part that the time did not reach for, none when every instance was let go in time.
 */
function brokenHeartbeatRules(terms: Terms, { scaleIns }: ScenarioOutcome): string[] {
  const short = scaleIns.map((scaleIn) => ranOutIn(terms.consumer, scaleIn));
  return PARTS.map((part) => ({ part, times: short.filter((other) => other === part).length }))
    .filter(({ times }) => times > 0)
    .map(
      ({ part, times }) =>
        `heartbeat timeout too short for ${part}, in ${times} of ${scaleIns.length} scale-ins: ${sum(terms, scaleIns)}`,
    );
}

const PARTS = [
  'the delivery of the message and its retries',
  "the consumer's interval and run",
  'the last requests (a connection kept alive by the old worker, the longest request)',
] as const;
type Part = (typeof PARTS)[number];

function ranOutIn(consumer: Consumer, { taggedAt, outAt, killedAt }: ScaleIn): Part | undefined {
  if (killedAt === undefined) return undefined;
  if (taggedAt === undefined || taggedAt > killedAt) return PARTS[0];
  if (outAt === undefined || outAt > killedAt) return PARTS[1];
  return outAt + lastRequestsMs(consumer) > killedAt ? PARTS[2] : undefined;
}

function sum({ plan, consumer }: Terms, scaleIns: readonly ScaleIn[]): string {
  const deliveries = scaleIns.map(({ hookAt = 0, taggedAt = hookAt }) => taggedAt - hookAt);
  const { sentence } = heartbeatArithmetic(consumer, Math.max(0, ...deliveries));
  return `it is ${(plan.heartbeatMs / 1000).toFixed(2)} s, and has to be at least ${sentence}`;
}
