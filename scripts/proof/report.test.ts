import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { fakeTerminal } from '../../test/helpers/terminal.ts';
import { temporaryFolder } from '../temporary-folder.ts';
import type { Evaluated } from './figures.ts';
import { consumer, ID, outcome } from './fixtures.ts';
import { planFor } from './plan.ts';
import { report } from './report.ts';

const RUN = { plan: planFor(consumer), consumer };
const PROVED = [outcome('nothing', { lost: 3 }), outcome('careful', { lost: 1 }), outcome('function')];
const LUCKY = [outcome('function', { scaleIns: [{ instanceId: ID, hookAt: 0, taggedAt: 1, outAt: 2, killedAt: 3 }] })];

test('the report on a proof has a table, a chart that says so, and the exit code 0', async () => {
  const { code, out, err, svg } = await reported(PROVED);
  expect({ code, err }).toEqual({ code: 0, err: '' });
  expect(out).toMatch(/^lost +3 +1 +0$/m);
  expect(out).toMatch(/^ +502 Bad Gateway +3 +1 +0$/m);
  expect(out).toMatch(/^consumer +slow +slow +slow$/m);
  expect(svg.match(/>\d+ of \d+ requests lost</g)).toEqual([
    '>3 of 14 requests lost<',
    '>1 of 12 requests lost<',
    '>0 of 11 requests lost<',
  ]);
  expect(svg).toContain('>With the function no request is lost');
  expect(svg).not.toContain('not proved');
});

test('the report on a run that is not proved has the reason, a chart without success, and the exit code 1', async () => {
  const { code, err, svg } = await reported(LUCKY);
  expect(code).toBe(1);
  expect(err).toMatch(/^not proved: with the function: no request lost, but by luck: .*$/m);
  expect(svg).toContain('>not proved<');
  expect(svg).toContain('<title>not proved: with the function: 0 of 11 requests lost<');
  expect(svg).not.toContain('no request is lost');
});

test('--json leaves only JSON on standard output', async () => {
  const { out, err } = await reported(PROVED, true);
  expect(JSON.parse(out)).toEqual({ haproxies: 1, scenarios: PROVED.map(({ figures }) => figures) });
  expect(err).toContain('requests sent');
});

test('a chart that cannot be written fails the command after table, JSON and verdict are printed', async () => {
  await using folder = await temporaryFolder('report-');
  await writeFile(join(folder.path, 'file'), '');
  const chart = join(folder.path, 'file', 'drain.svg');
  const { terminal, printed } = fakeTerminal();
  await expect(report(RUN, {}, LUCKY, { json: true, chart }, terminal)).rejects.toThrow(
    /^the chart cannot be written to ".*\/file\/drain.svg" \(E/,
  );
  expect(printed.err).toContain('requests sent');
  expect(printed.err).toContain('not proved: ');
  expect(JSON.parse(printed.out)).toMatchObject({ scenarios: [{ lost: 0 }] });
});

async function reported(outcomes: readonly Evaluated[], json = false) {
  await using folder = await temporaryFolder('report-');
  const chart = join(folder.path, 'drain.svg');
  const { terminal, printed } = fakeTerminal();
  const code = await report(RUN, { haproxies: 1 }, outcomes, { json, chart }, terminal);
  return { code, ...printed, svg: await readFile(chart, 'utf8') };
}
