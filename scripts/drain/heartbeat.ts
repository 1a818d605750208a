import { ANSWER_MS, KEEP_ALIVE_MS, type Plan } from './plan.ts';
import type { ScaleIn, ScenarioOutcome } from './scenario.ts';

/**
 * Holds the waiting time against the rule for it: heartbeat timeout ≥ delivery and retries + the builder's interval +
 * reload + the last wait of a kept-alive connection + the longest request.
 * @returns one sentence for each part that the time did not reach for, none when every instance was let go in time.
 */
export function brokenHeartbeatRules(plan: Plan, outcome: ScenarioOutcome): string[] {
  const short = outcome.scaleIns.map(ranOutIn).filter((part) => part !== undefined);
  return Object.values(PARTS)
    .map((part) => ({ part, times: short.filter((other) => other === part).length }))
    .filter(({ times }) => times > 0)
    .map(
      ({ part, times }) =>
        `heartbeat timeout too short for ${part}, in ${times} of ${outcome.scaleIns.length} scale-ins: ${sum(plan, outcome)}`,
    );
}

const PARTS = {
  delivery: 'the delivery of the message and its retries',
  builder: "the builder's interval and the reload",
  requests: 'the last requests of the old worker (a kept-alive connection, the longest request)',
} as const;

function ranOutIn({ taggedAt, reloadedAt, killedAt }: ScaleIn): string | undefined {
  if (killedAt === undefined) return undefined;
  if (taggedAt === undefined || taggedAt > killedAt) return PARTS.delivery;
  if (reloadedAt === undefined || reloadedAt > killedAt) return PARTS.builder;
  return reloadedAt + KEEP_ALIVE_MS + ANSWER_MS.longest > killedAt ? PARTS.requests : undefined;
}

function sum(plan: Plan, { scaleIns, longestReloadMs }: ScenarioOutcome): string {
  const deliveries = scaleIns.map(({ hookAt = 0, taggedAt = hookAt }) => taggedAt - hookAt);
  const parts = [
    [Math.max(0, ...deliveries), 'delivery'],
    [plan.builderIntervalMs, "builder's interval"],
    [longestReloadMs, 'reload'],
    [KEEP_ALIVE_MS, 'kept-alive connection'],
    [ANSWER_MS.longest, 'longest request'],
  ] as const;
  const total = parts.reduce((total, [ms]) => total + ms, 0);
  const needed = parts.map(([ms, what]) => `${seconds(ms)} ${what}`).join(' + ');
  return `it is ${seconds(plan.heartbeatMs)}, and has to be at least ${needed} = ${seconds(total)}, and a margin`;
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(2)} s`;
}
