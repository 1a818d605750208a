import { figuresOf } from './figures.ts';
import { brokenHeartbeatRules } from './heartbeat.ts';
import type { Plan } from './plan.ts';
import { SCENARIOS, type ScenarioOutcome } from './scenario.ts';

/** Why a run proves nothing: a sentence for each reason, none when the function kept its word and nobody else could. */
export function problemsOf(plan: Plan, outcomes: readonly ScenarioOutcome[]): string[] {
  return outcomes.flatMap((outcome) => {
    const problems = outcome.name === 'function' ? functionProblems(plan, outcome) : comparisonProblems(outcome);
    return problems.map((problem) => `${SCENARIOS[outcome.name]}: ${problem}`);
  });
}

function functionProblems(plan: Plan, outcome: ScenarioOutcome): string[] {
  const { lost, sent } = figuresOf(outcome);
  const untagged = outcome.scaleIns.filter(({ taggedAt }) => taggedAt === undefined);
  return [
    ...new Set(outcome.functionErrors.map((error) => `the function failed: ${error}`)),
    ...(untagged.length > 0
      ? [`the function set no tag on ${untagged.map(({ instanceId }) => instanceId).join(', ')}`]
      : brokenHeartbeatRules(plan, outcome)),
    ...(outcome.returned.tagLeft
      ? [`${outcome.returned.instanceId} came back from the warm pool with its tag on`]
      : []),
    ...(lost > 0 ? [`${lost} of ${sent} requests lost${unusual(outcome)}`] : []),
    ...returnProblems(outcome),
  ];
}

function comparisonProblems(outcome: ScenarioOutcome): string[] {
  const { lost } = figuresOf(outcome);
  const tooKind = 'no request lost, so the scenario is too kind: real instances die in the middle of requests';
  return [...(lost === 0 ? [tooKind] : []), ...returnProblems(outcome)];
}

function returnProblems(outcome: ScenarioOutcome): string[] {
  const { answeredAfterReturn } = figuresOf(outcome);
  return answeredAfterReturn > 0
    ? []
    : [`${outcome.returned.instanceId} came back from the warm pool and got no request`];
}

/** What the causes of the table do not say. */
function unusual({ results }: ScenarioOutcome): string {
  const details = new Set(results.filter(({ cause }) => cause === 'other').map(({ detail }) => detail));
  return details.size > 0 ? ` (other: ${[...details].join(', ')})` : '';
}
