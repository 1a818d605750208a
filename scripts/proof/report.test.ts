import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { fakeTerminal } from '../../test/helpers/terminal.ts';
import { temporaryFolder } from '../temporary-folder.ts';
import type { Evaluated } from './figures.ts';
import { consumer, ID, outcome } from './fixtures.ts';
import { shortPlan } from './plan.ts';
import { report } from './report.ts';

const RUN = { plan: shortPlan(consumer), consumer };
const ABOUT = { consumer: 'slow', consumerVersion: '1.0', haproxy: '9.9', haproxies: 1 };
const PROVED = [outcome('nothing', { lost: 3 }), outcome('careful', { lost: 1 }), outcome('function')];
const LUCKY = [outcome('function', { scaleIns: [{ instanceId: ID, hookAt: 0, taggedAt: 1, outAt: 2, killedAt: 3 }] })];

test('the report on a proof has a table, a chart that says so, and the exit code 0', async () => {
  const { code, out, err, svg } = await reported(PROVED);
  expect({ code, err }).toEqual({ code: 0, err: '' });
  expect(out).toMatch(/^lost +3 +1 +0$/m);
  expect(out).toMatch(/^consumer +slow +slow +slow$/m);
  expect(out).toMatch(/^chart: .*drain.svg$/m);
  expect(texts(svg, 'lost')).toEqual(['3 of 14 requests lost', '1 of 12 requests lost']);
  expect(texts(svg, 'kept')).toEqual(['0 of 11 requests lost']);
  expect(svg).toContain('With the function no request is lost');
  expect(svg).not.toContain('not proved');
});

test('the report on a run that is not proved has the reason, also in the chart, and the exit code 1', async () => {
  const { code, err, svg } = await reported(LUCKY);
  expect(code).toBe(1);
  expect(err).toMatch(/^not proved: with the function: no request lost, but by luck: .*$/m);
  expect(texts(svg, 'lost')).toEqual([
    'not proved: with the function: no request lost, but by luck: heartbeat timeout too short for the last …',
  ]);
  expect(texts(svg, 'kept')).toEqual([]);
  expect(svg).toContain('0 of 11 requests lost');
  expect(svg).not.toContain('no request is lost');
  expect(svg).toContain('<title>not proved: with the function: no request lost, but by luck');
});

test('the chart of a comparison that loses nothing shows no success either', async () => {
  const { svg } = await reported([outcome('nothing'), outcome('function')]);
  expect(texts(svg, 'kept')).toEqual([]);
  expect(texts(svg, 'lost')).toEqual([expect.stringMatching(/^not proved: without anything: no request lost/)]);
});

test('the chart escapes markup in the text of a failure', async () => {
  const { svg } = await reported([outcome('function', { functionErrors: ['<b> & "c"'] })]);
  expect(texts(svg, 'lost')).toEqual(['not proved: with the function: the function failed: &#60;b&#62; &#38; "c"']);
});

test('--json leaves only JSON on standard output', async () => {
  const { out, err } = await reported(PROVED, true);
  expect(JSON.parse(out)).toEqual({ ...ABOUT, scenarios: PROVED.map(({ figures }) => figures) });
  expect(err).toContain('requests sent');
});

test('a chart that cannot be written fails the command after table, JSON and verdict are printed', async () => {
  await using folder = await temporaryFolder('report-');
  await writeFile(join(folder.path, 'file'), '');
  const chart = join(folder.path, 'file', 'drain.svg');
  const { terminal, printed } = fakeTerminal();
  await expect(report(RUN, ABOUT, LUCKY, { json: true, chart }, terminal)).rejects.toThrow(
    /^the chart cannot be written to ".*\/file\/drain.svg" \(E.*\); --chart FILE puts it into another file$/,
  );
  expect(printed.err).toContain('requests sent');
  expect(printed.err).toContain('not proved: ');
  expect(JSON.parse(printed.out)).toMatchObject({ scenarios: [{ lost: 0 }] });
});

test('the chart has its colours as attributes, for viewers without style sheets', async () => {
  const { svg } = await reported(PROVED);
  expect(svg).not.toContain('var(');
  const shapes = svg.match(/<(?:rect|circle|path|text)[^>]*class=[^>]*>/g) ?? [];
  expect(shapes.length).toBeGreaterThan(20);
  expect(shapes.filter((shape) => !/ fill="(#[0-9a-f]{6}|none)"/.test(shape))).toEqual([]);
});

async function reported(outcomes: readonly Evaluated[], json = false) {
  await using folder = await temporaryFolder('report-');
  const chart = join(folder.path, 'drain.svg');
  const { terminal, printed } = fakeTerminal();
  const code = await report(RUN, ABOUT, outcomes, { json, chart }, terminal);
  return { code, ...printed, svg: await readFile(chart, 'utf8') };
}

/** The texts of the chart in this colour. */
function texts(svg: string, colour: string): string[] {
  const pattern = new RegExp(`<text [^>]*class="fill-${colour} [^>]*>([^<]*)<`, 'g');
  return [...svg.matchAll(pattern)].map(([, text = '']) => text);
}
