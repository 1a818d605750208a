import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs, styleText } from 'node:util';
import { unzipSync } from 'fflate';
import { bundle } from './bundle.ts';
import { chartOf } from './drain/chart.ts';
import type { Consumer } from './drain/consumer.ts';
import { chef } from './drain/consumers/chef.ts';
import { own } from './drain/consumers/own.ts';
import { runtimeApi } from './drain/consumers/runtime-api.ts';
import { script } from './drain/consumers/script.ts';
import { figuresOf, type Report, tableOf } from './drain/figures.ts';
import { haproxyVersion } from './drain/haproxy.ts';
import { fullPlan, heartbeatArithmetic, shortPlan } from './drain/plan.ts';
import { makeWorkingFolder } from './drain/process-group.ts';
import { runScenario, SCENARIOS, type ScenarioName, type ScenarioOutcome } from './drain/scenario.ts';
import { problemsOf } from './drain/verdict.ts';

const CONSUMERS: readonly Consumer[] = [own, chef, runtimeApi, script];
const MOST_HAPROXIES = 4;

const USAGE = `npm run drain -- [options]
  --short              three scale-ins a scenario in place of ten, in a quarter of the time
  --consumer NAME      what reads the tag: ${CONSUMERS.map(({ name }) => name).join(', ')}; ${own.name} by default
  --haproxies N        so many HAProxies share the load, each with its consumer; 1 by default
  --scenario NAME      only this one, and others so named: ${Object.keys(SCENARIOS).join(', ')}
  --heartbeat SECONDS  the waiting time of the lifecycle hook, in place of the one that the consumer asks for
  --zip FILE           a function other than the one in src
  --chart FILE         where the chart goes; dist/drain.svg by default
  --json               prints the figures as JSON, and nothing else, on standard output`;

interface Settings {
  readonly short: boolean;
  readonly json: boolean;
  readonly consumer: Consumer;
  readonly haproxies: number;
  readonly scenarios: readonly ScenarioName[];
  readonly heartbeatMs: number | undefined;
  readonly zip: string | undefined;
  readonly chart: string;
}

const SIGNAL_MS = 100;
const interruption = new AbortController();
for (const [signal, number] of [
  ['SIGINT', 2],
  ['SIGTERM', 15],
  ['SIGHUP', 1],
] as const) {
  process.on(signal, () => {
    process.exitCode = 128 + number;
    interruption.abort();
  });
}

try {
  const settings = readSettings(process.argv.slice(2));
  if (settings) await main(settings, interruption.signal);
  else console.log(USAGE);
} catch (error) {
  // Ctrl-C reaches the programs that this one started as well, and their end may be seen before the signal is.
  await sleep(SIGNAL_MS);
  if (interruption.signal.aborted) {
    console.error('interrupted; everything that was started has been ended');
  } else {
    console.error(styleText('red', `npm run drain: ${error instanceof Error ? error.message : error}`));
    process.exitCode = 1;
  }
}

async function main(settings: Settings, signal: AbortSignal) {
  const { short, json, consumer, haproxies, scenarios, heartbeatMs, zip: zipFile, chart } = settings;
  const given = zipFile === undefined ? undefined : await readZip(zipFile);
  const plan = (short ? shortPlan : fullPlan)(consumer, { haproxies, heartbeatMs });
  const haproxy = await haproxyVersion();
  const consumerVersion = await consumer.requirement();
  say(
    `HAProxy ${haproxy}${haproxies > 1 ? `, ${haproxies} of them` : ''}; consumer: ${consumer.name}, ${consumerVersion}\n` +
      `in each scenario ${plan.requestsPerSecond} requests a second for ${(plan.loadMs / 1000).toFixed(1)} s, ` +
      `${plan.scaleInsAt.length} of ${plan.servers} servers leave, one comes back\n` +
      `heartbeat timeout ${plan.heartbeatMs / 1000} s; it has to be at least ${heartbeatArithmetic(consumer).sentence}`,
  );
  const zip = given ?? (await bundle()).zip;

  const outcomes: ScenarioOutcome[] = [];
  const folder = makeWorkingFolder();
  try {
    for (const name of scenarios) {
      say(`\n${styleText('bold', SCENARIOS[name])}`);
      outcomes.push(await runScenario(name, { plan, consumer, zip, folder: folder.path, signal, onProgress: say }));
    }
  } finally {
    await folder.remove();
  }

  const figures = outcomes.map(figuresOf);
  await mkdir(dirname(chart), { recursive: true });
  await writeFile(chart, chartOf(plan, outcomes));
  say(`\n${tableOf(figures)}\n\nchart: ${chart}`);
  const report: Report = { consumer: consumer.name, consumerVersion, haproxy, haproxies, scenarios: figures };
  if (json) console.log(JSON.stringify(report));
  const problems = problemsOf({ plan, consumer }, outcomes);
  for (const problem of problems) console.error(styleText('red', `not proved: ${problem}`));
  if (problems.length > 0) process.exitCode = 1;

  function say(line: string): void {
    (json ? console.error : console.log)(line);
  }
}

/** @throws Error that names the file when it cannot be read, or holds no function. */
async function readZip(file: string): Promise<Uint8Array> {
  const zip = await readFile(file);
  try {
    if (Object.keys(unzipSync(zip)).some((name) => /^index\.[cm]?js$/.test(name))) return zip;
  } catch {
    // No zip at all.
  }
  throw new Error(`--zip is ${JSON.stringify(file)}; expected a zip file with the function in index.js`);
}

/**
 * @returns undefined when it is help that is asked for.
 * @throws Error that names the option, what it held and what was expected.
 */
function readSettings(args: string[]): Settings | undefined {
  const { values } = parseArgs({
    args,
    options: {
      short: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      consumer: { type: 'string', default: own.name },
      haproxies: { type: 'string', default: '1' },
      scenario: { type: 'string', multiple: true, default: Object.keys(SCENARIOS) },
      heartbeat: { type: 'string' },
      help: { type: 'boolean', default: false },
      zip: { type: 'string' },
      chart: { type: 'string', default: 'dist/drain.svg' },
    },
  });
  if (values.help) return undefined;
  return {
    short: values.short,
    json: values.json,
    consumer: consumerNamed(values.consumer),
    haproxies: countOf(values.haproxies),
    scenarios: values.scenario.map(scenarioName),
    heartbeatMs: values.heartbeat === undefined ? undefined : milliseconds(values.heartbeat),
    zip: values.zip,
    chart: values.chart,
  };
}

function scenarioName(name: string): ScenarioName {
  if (!Object.hasOwn(SCENARIOS, name)) {
    throw new Error(`--scenario is ${JSON.stringify(name)}; expected one of ${Object.keys(SCENARIOS).join(', ')}`);
  }
  return name as ScenarioName;
}

function consumerNamed(name: string): Consumer {
  const consumer = CONSUMERS.find((consumer) => consumer.name === name);
  if (consumer) return consumer;
  const names = CONSUMERS.map(({ name }) => name).join(', ');
  throw new Error(`--consumer is ${JSON.stringify(name)}; expected one of ${names}`);
}

function countOf(haproxies: string): number {
  const count = Number(haproxies);
  if (Number.isInteger(count) && count >= 1 && count <= MOST_HAPROXIES) return count;
  throw new Error(`--haproxies is ${JSON.stringify(haproxies)}; expected a number from 1 to ${MOST_HAPROXIES}`);
}

function milliseconds(seconds: string): number {
  const ms = Number(seconds) * 1000;
  if (!(ms > 0 && ms <= 60_000)) {
    throw new Error(`--heartbeat is ${JSON.stringify(seconds)}; expected seconds, more than 0 and at most 60`);
  }
  return ms;
}
