import { mkdir, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { styleText } from 'node:util';
import type { Terminal } from '../command.ts';
import { chartOf } from './chart.ts';
import { evaluate, tableOf } from './figures.ts';
import type { ScenarioOutcome } from './scenario.ts';
import { problemsOf, type Run } from './verdict.ts';

/**
 * Prints table and verdict, and then draws the chart. A chart that cannot be written does not hide the figures.
 * @param about what the run was made with, for `--json`.
 * @returns the exit code.
 * @throws Error when the chart cannot be written.
 */
export async function report(
  run: Run,
  about: object,
  outcomes: readonly ScenarioOutcome[],
  { json, chart }: { readonly json: boolean; readonly chart: string },
  terminal: Terminal,
): Promise<number> {
  const scenarios = outcomes.map(evaluate);
  const figures = scenarios.map((scenario) => scenario.figures);
  const problems = problemsOf(run, scenarios);
  const say = json ? terminal.err : terminal.out;
  say(`\n${tableOf(figures)}\n`);
  if (json) terminal.out(JSON.stringify({ ...about, scenarios: figures }));
  for (const problem of problems) terminal.err(styleText('red', `not proved: ${problem}`));
  try {
    await mkdir(dirname(chart), { recursive: true });
    await writeFile(chart, chartOf(run.plan, scenarios, problems.length === 0));
  } catch (error) {
    const { message } = error as Error;
    throw new Error(
      `the chart cannot be written to ${JSON.stringify(chart)} (${message}); --chart FILE puts it into another file`,
      { cause: error },
    );
  }
  say(`chart: ${chart}`);
  return problems.length > 0 ? 1 : 0;
}
