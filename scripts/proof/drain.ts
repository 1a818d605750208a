import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { styleText } from 'node:util';
import { unzipSync } from 'fflate';
import { bundle } from '../bundle.ts';
import { parseOptions, runCommand, type Terminal } from '../command.ts';
import { temporaryFolder } from '../temporary-folder.ts';
import type { Consumer } from './consumer.ts';
import { chef } from './consumers/chef.ts';
import { own } from './consumers/own.ts';
import { runtimeApi } from './consumers/runtime-api.ts';
import { script } from './consumers/script.ts';
import { haproxyVersion } from './haproxy.ts';
import { fullPlan, heartbeatArithmetic, shortPlan } from './plan.ts';
import { report } from './report.ts';
import { consumerOf, runScenario, SCENARIOS, type ScenarioName, type ScenarioOutcome } from './scenario.ts';

const CONSUMERS: readonly Consumer[] = [own, chef, runtimeApi, script];
const MOST_HAPROXIES = 4;

const USAGE = `npm run drain -- [options]
Counts the requests that a real HAProxy loses while servers are scaled in, without and with the function.
  --short              a shorter run: 3 servers leave instead of 10
  --consumer NAME      program that reads the tag in the scenario with the function:
                       ${CONSUMERS.map(({ name }) => name).join(', ')}; default: ${own.name}
  --haproxies N        number of HAProxies that share the load, 1 to ${MOST_HAPROXIES}; default: 1
  --scenario NAME      only this scenario: ${Object.keys(SCENARIOS).join(', ')}; may be repeated
  --heartbeat SECONDS  heartbeat timeout of the lifecycle hook; default: what the consumer needs
  --zip FILE           zip file of another function; default: the function in src
  --chart FILE         file for the chart; default: dist/drain.svg
  --json               print only JSON on standard output, and everything else on standard error
  --help               print this help`;

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

export async function main(
  args: readonly string[],
  environment: NodeJS.ProcessEnv,
  terminal: Terminal,
): Promise<number> {
  const settings = readSettings(args, environment);
  if (settings === undefined) {
    terminal.out(USAGE);
    return 0;
  }
  const { short, json, consumer: chosen, haproxies, scenarios, heartbeatMs, zip: zipFile, chart } = settings;
  const { signal } = terminal;
  const say = json ? terminal.err : terminal.out;
  const given = zipFile === undefined ? undefined : await readZip(zipFile);
  const plan = (short ? shortPlan : fullPlan)(chosen, { haproxies, heartbeatMs });
  const haproxy = await haproxyVersion(environment);
  const consumer = scenarios.includes('function') ? chosen : own;
  const consumerVersion = await consumer.requirement(environment);
  signal.throwIfAborted();
  const comparisons = scenarios.filter((name) => name !== 'function');
  say(
    `HAProxy ${haproxy}${haproxies > 1 ? `, ${haproxies} of them` : ''}; consumer: ${consumer.name}, ${consumerVersion}`,
  );
  if (consumer !== own && comparisons.length > 0) {
    const names = comparisons.map((name) => SCENARIOS[name]).join(', ');
    say(
      `${names}: consumer is ${own.name}, which drops dead servers from haproxy.cfg every ${own.intervalMs / 1000} s`,
    );
  }
  say(
    `in each scenario ${plan.requestsPerSecond} requests a second for ${(plan.loadMs / 1000).toFixed(1)} s, ` +
      `${plan.scaleInsAt.length} of ${plan.servers} servers leave, one comes back`,
  );
  if (scenarios.includes('function')) {
    const needed = heartbeatArithmetic(consumer).sentence;
    say(`heartbeat timeout ${plan.heartbeatMs / 1000} s; it has to be at least ${needed}`);
  }
  const zip = given ?? (await bundle()).zip;

  const outcomes: ScenarioOutcome[] = [];
  for (const name of scenarios) {
    say(`\n${styleText('bold', SCENARIOS[name])}`);
    // The files of one scenario must not mislead the consumer of the next.
    await using folder = await temporaryFolder('drain-');
    const options = { plan, consumer: consumerOf(name, chosen), zip, folder: folder.path, environment, signal };
    outcomes.push(await runScenario(name, { ...options, onProgress }));
  }
  const about = { consumer: consumer.name, consumerVersion, haproxy, haproxies };
  return report({ plan, consumer, about }, outcomes, { json, chart }, terminal);

  /** Called from event handlers, where an error would end the process. */
  function onProgress(line: string): void {
    if (!signal.aborted) say(line);
  }
}

/** @throws Error that names the file when it cannot be read, or holds no function. */
async function readZip(file: string): Promise<Uint8Array> {
  const expected = `--zip is ${JSON.stringify(file)}; expected a zip file with the function in index.js`;
  const zip = await readFile(file).catch((error: NodeJS.ErrnoException) => {
    throw new Error(`${expected} (${error.code})`, { cause: error });
  });
  try {
    if (Object.keys(unzipSync(zip)).some((name) => /^index\.[cm]?js$/.test(name))) return zip;
  } catch {
    // Not a zip file.
  }
  throw new Error(expected);
}

/**
 * @returns undefined for `--help`.
 * @throws Error that names the option, its actual value and what was expected.
 */
function readSettings(args: readonly string[], environment: NodeJS.ProcessEnv): Settings | undefined {
  const { values } = parseOptions('npm run drain', environment, {
    args: [...args],
    options: {
      short: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      consumer: { type: 'string', default: own.name },
      haproxies: { type: 'string', default: '1' },
      scenario: { type: 'string', multiple: true, default: Object.keys(SCENARIOS) },
      heartbeat: { type: 'string' },
      help: { type: 'boolean', default: false },
      zip: { type: 'string' },
      chart: { type: 'string' },
    },
  });
  if (values.help) return undefined;
  // npm runs the command in the project's folder, wherever the user called npm.
  const inFolderOfUser = (file: string) => resolve(environment.INIT_CWD ?? '', file);
  return {
    short: values.short,
    json: values.json,
    consumer: consumerNamed(values.consumer),
    haproxies: countOf(values.haproxies),
    scenarios: values.scenario.map(scenarioName),
    heartbeatMs: values.heartbeat === undefined ? undefined : milliseconds(values.heartbeat),
    zip: values.zip === undefined ? undefined : inFolderOfUser(values.zip),
    chart: values.chart === undefined ? 'dist/drain.svg' : inFolderOfUser(values.chart),
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

if (import.meta.main) await runCommand('npm run drain', main);
