import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { styleText } from 'node:util';
import { bundle } from '../bundle.ts';
import { parseOptions, runCommand, type Terminal } from '../command.ts';
import { programVersion } from '../programs.ts';
import { temporaryFolder } from '../temporary-folder.ts';
import { chartOf } from './chart.ts';
import type { Consumer } from './consumer.ts';
import { chef } from './consumers/chef.ts';
import { own } from './consumers/own.ts';
import { runtimeApi } from './consumers/runtime-api.ts';
import { script } from './consumers/script.ts';
import { type Evaluated, evaluate, tableOf } from './figures.ts';
import { endOfWaitMs, heartbeatArithmetic, planFor } from './plan.ts';
import { hasFunction, runScenario, SCENARIOS, type ScenarioName } from './scenario.ts';
import { problemsOf } from './verdict.ts';

const CONSUMERS: readonly Consumer[] = [own, chef, runtimeApi, script];
const CONSUMER_NAMES = CONSUMERS.map(({ name }) => name).join(', ');
const ENDING_THE_WAIT = CONSUMERS.filter(({ lookEveryMs }) => lookEveryMs !== undefined)
  .map(({ name }) => name)
  .join(', ');
const USUAL_SCENARIOS = Object.keys(SCENARIOS).filter((name) => name !== 'complete');
const SCENARIO_NAMES = Object.keys(SCENARIOS).join(', ');
const MOST_HAPROXIES = 4;
const LONGEST_HEARTBEAT_S = 60;

const NAME = 'npm run drain';
const USAGE = `${NAME} -- [options]
Counts the requests that a real HAProxy loses while servers are scaled in, without and with the function.
  --short              a shorter run: 3 servers leave instead of 10
  --consumer NAME      program that reads the tag in the scenario with the function:
                       ${CONSUMER_NAMES}; default: ${own.name}
  --haproxies N        number of HAProxies that share the load, 1 to ${MOST_HAPROXIES}; default: 1
  --complete           a further scenario: the consumer ends the wait of an instance when nobody is connected
                       (only with --consumer ${ENDING_THE_WAIT})
  --scenario NAME      only this scenario: ${SCENARIO_NAMES} (may be repeated)
  --heartbeat SECONDS  heartbeat timeout of the lifecycle hook; default: what the consumer needs
  --chart FILE         file for the chart; default: dist/drain.svg
  --json               print only JSON on standard output, and everything else on standard error
  --help               print this help`;

export async function main(
  args: readonly string[],
  environment: NodeJS.ProcessEnv,
  terminal: Terminal,
): Promise<number> {
  const options = readOptions(args, environment);
  if (options === undefined) {
    terminal.out(USAGE);
    return 0;
  }
  const { json, haproxies, scenarios } = options;
  const { signal } = terminal;
  const say = json ? terminal.err : terminal.out;
  const completes = scenarios.includes('complete');
  const plan = planFor(options.consumer, { short: options.short, heartbeatMs: options.heartbeatMs, completes });
  const haproxy = programVersion(['haproxy', '-v'], environment);
  const consumer = scenarios.some(hasFunction) ? options.consumer : own;
  const consumerVersion = await consumer.requirement(environment);
  signal.throwIfAborted();
  const several = haproxies > 1 ? `, ${haproxies} of them` : '';
  say(`HAProxy ${haproxy}${several}; consumer: ${consumer.name}, ${consumerVersion}`);
  const comparisons = scenarios.filter((name) => !hasFunction(name)).map((name) => SCENARIOS[name]);
  if (consumer !== own && comparisons.length > 0) {
    const interval = `${own.intervalMs / 1000} s`;
    say(
      `${comparisons.join(', ')}: consumer is ${own.name}, which drops dead servers from haproxy.cfg every ${interval}`,
    );
  }
  say(
    `in each scenario ${plan.requestsPerSecond} requests a second for ${(plan.loadMs / 1000).toFixed(1)} s, ` +
      `${plan.scaleInsAt.length} of ${plan.servers} servers leave, one comes back`,
  );
  if (scenarios.some(hasFunction)) {
    const needed = heartbeatArithmetic(consumer).sentence;
    const more = completes ? `, and ${endOfWaitMs(consumer) / 1000} s more, in which the consumer ends the wait` : '';
    say(`heartbeat timeout ${plan.heartbeatMs / 1000} s; it has to be at least ${needed}${more}`);
  }
  const { zip } = await bundle();

  const outcomes: Evaluated[] = [];
  for (const name of scenarios) {
    say(`\n${styleText('bold', SCENARIOS[name])}`);
    // A new folder for each scenario, because old files could mislead the consumer.
    await using folder = await temporaryFolder('drain-');
    // A comparison needs a consumer that drops dead servers from haproxy.cfg, and not every consumer does.
    const stage = { plan, haproxies, consumer: hasFunction(name) ? consumer : own, zip, folder: folder.path };
    outcomes.push(evaluate(await runScenario(name, { ...stage, environment, signal, onProgress })));
  }
  const figures = outcomes.map((outcome) => outcome.figures);
  say(`\n${tableOf(figures)}\n`);
  const ran = outcomes.find(({ name }) => hasFunction(name))?.consumer ?? own.name;
  const about = { consumer: ran, consumerVersion, haproxy, haproxies };
  if (json) terminal.out(JSON.stringify({ ...about, scenarios: figures }));
  const problems = problemsOf({ plan, consumer }, outcomes);
  for (const problem of problems) terminal.err(styleText('red', `not proved: ${problem}`));
  // Comes last, so that a chart that cannot be written does not hide the figures.
  await writeChart(options.chart, chartOf(plan, outcomes, problems.length === 0));
  say(`chart: ${options.chart}`);
  return problems.length > 0 ? 1 : 0;

  /** Called from event handlers, where an error would end the process. */
  function onProgress(line: string): void {
    if (!signal.aborted) say(line);
  }
}

async function writeChart(file: string, chart: string): Promise<void> {
  try {
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, chart);
  } catch (error) {
    const { message } = error as Error;
    throw new Error(`--chart is ${JSON.stringify(file)}; expected a file that can be written (${message})`);
  }
}

/**
 * @returns undefined for `--help`.
 * @throws Error that names the option, its actual value and the expected value.
 */
function readOptions(args: readonly string[], environment: NodeJS.ProcessEnv) {
  const { values } = parseOptions(NAME, environment, {
    args: [...args],
    options: {
      short: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      consumer: { type: 'string', default: own.name },
      complete: { type: 'boolean', default: false },
      haproxies: { type: 'string', default: '1' },
      scenario: { type: 'string', multiple: true, default: USUAL_SCENARIOS },
      heartbeat: { type: 'string' },
      help: { type: 'boolean', default: false },
      chart: { type: 'string' },
    },
  });
  if (values.help) return undefined;
  const { short, json, chart, heartbeat } = values;

  const consumer = CONSUMERS.find(({ name }) => name === values.consumer);
  if (!consumer) throw unexpected('consumer', values.consumer, `one of ${CONSUMER_NAMES}`);
  const haproxies = Number(values.haproxies);
  if (!Number.isInteger(haproxies) || haproxies < 1 || haproxies > MOST_HAPROXIES) {
    throw unexpected('haproxies', values.haproxies, `a number from 1 to ${MOST_HAPROXIES}`);
  }
  const scenarios = values.scenario.map((name) => {
    if (!Object.hasOwn(SCENARIOS, name)) throw unexpected('scenario', name, `one of ${SCENARIO_NAMES}`);
    return name as ScenarioName;
  });
  if (values.complete && !scenarios.includes('complete')) scenarios.push('complete');
  if (scenarios.includes('complete') && consumer.lookEveryMs === undefined) {
    throw unexpected('consumer', values.consumer, `${ENDING_THE_WAIT} with --complete, to end the wait`);
  }
  const seconds = Number(heartbeat);
  if (heartbeat !== undefined && !(seconds > 0 && seconds <= LONGEST_HEARTBEAT_S)) {
    throw unexpected('heartbeat', heartbeat, `seconds, more than 0 and at most ${LONGEST_HEARTBEAT_S}`);
  }
  return {
    short,
    json,
    consumer,
    haproxies,
    scenarios,
    heartbeatMs: heartbeat === undefined ? undefined : seconds * 1000,
    // npm runs the command in the project's folder, wherever the user called npm.
    chart: chart === undefined ? 'dist/drain.svg' : resolve(environment.INIT_CWD ?? '', chart),
  };
}

function unexpected(option: string, actual: string, expected: string): Error {
  return new Error(`--${option} is ${JSON.stringify(actual)}; expected ${expected}`);
}

if (import.meta.main) await runCommand(NAME, main);
