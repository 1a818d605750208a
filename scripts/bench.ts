import { parseArgs } from 'node:util';
import { coldStart } from './bench/cold-start.ts';
import { concurrency } from './bench/concurrency.ts';
import { scaleIn } from './bench/scale-in.ts';
import { type Table, write } from './bench/table.ts';

const BENCHMARKS = ['cold-start', 'scale-in', 'concurrency'];
const USAGE = `npm run bench -- [${BENCHMARKS.join('] [')}] [--runs N] [--markdown | --json]`;
const HELP = `${USAGE}

  cold-start    load and first call of the bundle, beside what one would take instead
  scale-in      N instances terminated at once against EC2's limit, beside the SDK's default retry
  concurrency   the same with a limit for copies of the function at the same time, on paper
  --runs N      processes for each row of cold-start; 20 without it
  --markdown    tables as Markdown
  --json        tables as JSON

Without a name it runs all of them, about four minutes.`;

try {
  await main();
} catch (error) {
  console.error(`npm run bench: ${error instanceof Error ? error.message : error}`);
  // A benchmark that broke off may have left its endpoint open.
  process.exit(1);
}

async function main(): Promise<void> {
  const { values, positionals } = readArguments();
  if (values.help) return console.log(HELP);
  const unknown = positionals.filter((name) => !BENCHMARKS.includes(name));
  if (unknown.length > 0) throw new Error(`no benchmark ${unknown.join(', ')}; expected ${USAGE}`);
  const runs = Number(values.runs);
  if (!Number.isInteger(runs) || runs < 1) throw new Error(`--runs is ${values.runs}; expected a whole number from 1`);
  const wanted = (name: string) => positionals.length === 0 || positionals.includes(name);

  const tables: Table[] = [];
  if (wanted('cold-start')) tables.push(await coldStart(runs));
  if (wanted('scale-in')) tables.push(await scaleIn());
  if (wanted('concurrency')) tables.push(concurrency());
  console.log(
    values.json ? JSON.stringify(tables, null, 2) : tables.map((table) => write(table, values.markdown)).join('\n\n'),
  );
}

function readArguments() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        runs: { type: 'string', default: '20' },
        markdown: { type: 'boolean', default: false },
        json: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
      },
    });
  } catch (error) {
    throw new Error(`${error instanceof Error ? error.message : error}; expected ${USAGE}`, { cause: error });
  }
}
