import { parseOptions, runCommand, type Terminal } from '../command.ts';
import { type Table, write } from '../table.ts';
import { coldStart } from './cold-start.ts';
import { consumers } from './consumers.ts';
import { SIZES, scaleIn } from './scale-in.ts';

const NAME = 'npm run bench';
const BENCHMARKS = ['cold-start', 'scale-in', 'consumers'];
const USAGE = `${NAME} -- [${BENCHMARKS.join('] [')}] [--runs N]

  cold-start    load and first call of the function, compared with other ways to build it
  scale-in      N instances terminated at once under EC2's limit, compared with the SDK's default retry
  consumers     many HAProxies that share EC2's limit, compared with a script that asks at a fixed interval
  --runs N      processes for each row of cold-start; default: 20

Without a name, all run, in about three minutes.`;

/** @param sizes numbers of instances for scale-in. */
export async function main(
  args: readonly string[],
  environment: NodeJS.ProcessEnv,
  terminal: Terminal,
  sizes = SIZES,
): Promise<number> {
  const { values, positionals } = parseOptions(NAME, environment, {
    args: [...args],
    allowPositionals: true,
    options: {
      runs: { type: 'string', default: '20' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) {
    terminal.out(USAGE);
    return 0;
  }
  const unknown = positionals.find((name) => !BENCHMARKS.includes(name));
  if (unknown !== undefined) {
    throw new Error(`the benchmark is ${JSON.stringify(unknown)}; expected one of ${BENCHMARKS.join(', ')}`);
  }
  const runs = Number(values.runs);
  if (!Number.isInteger(runs) || runs < 1) {
    throw new Error(`--runs is ${JSON.stringify(values.runs)}; expected a whole number from 1`);
  }
  const wanted = (name: string) => positionals.length === 0 || positionals.includes(name);

  const tables: Table[] = [];
  if (wanted('cold-start')) tables.push(await coldStart(runs, terminal));
  if (wanted('scale-in')) tables.push(await scaleIn(sizes, terminal));
  if (wanted('consumers')) tables.push(await consumers(terminal));
  terminal.out(tables.map(write).join('\n\n'));
  return 0;
}

if (import.meta.main) await runCommand(NAME, main);
