import { parseArgs } from 'node:util';
import { coldStart } from './bench/cold-start.ts';
import { scaleIn } from './bench/scale-in.ts';
import { type Table, write } from './bench/table.ts';
import { warm } from './bench/warm.ts';

const PARTS = ['cold-start', 'warm', 'scale-in'];
const USAGE = `npm run bench -- [${PARTS.join('] [')}] [--runs N] [--markdown | --json]`;

try {
  await main();
} catch (error) {
  console.error(`npm run bench: ${error instanceof Error ? error.message : error}`);
  // A benchmark that broke off may have left its endpoint open.
  process.exit(1);
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      runs: { type: 'string', default: '20' },
      markdown: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
    },
  });
  const unknown = positionals.filter((part) => !PARTS.includes(part));
  if (unknown.length > 0) throw new Error(`no benchmark ${unknown.join(', ')}; expected ${USAGE}`);
  const runs = Number(values.runs);
  if (!Number.isInteger(runs) || runs < 1) throw new Error(`--runs is ${values.runs}; expected a whole number from 1`);
  const wanted = (part: string) => positionals.length === 0 || positionals.includes(part);

  const tables: Table[] = [];
  if (wanted('cold-start')) tables.push(...(await coldStart(runs)));
  if (wanted('warm')) tables.push(...(await warm()));
  if (wanted('scale-in')) tables.push(...(await scaleIn()));
  console.log(
    values.json ? JSON.stringify(tables, null, 2) : tables.map((table) => write(table, values.markdown)).join('\n\n'),
  );
}
