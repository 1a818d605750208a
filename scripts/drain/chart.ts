import * as Plot from '@observablehq/plot';
import { parseHTML } from 'linkedom';
import { MOMENTS, type Moment, panelOf } from './chart-panel.ts';
import type { Plan } from './plan.ts';
import type { ScenarioOutcome } from './scenario.ts';

/** As much of a browser's document as the plotting library needs. */
type PlotDocument = ReturnType<typeof parseHTML>['document'];

const WIDTH = 880;
const HEADER = 62;
const LEFT = 70;
const AXIS = 40;
const ROW = 12;
// In rows: the title above the servers of a scenario, and the lost requests beneath them.
const TITLE = 3;
const LOST = 4;
// A single lost request must be seen beside a thousand.
const LEAST_BAR = 0.6;

/**
 * Draws the scenarios below each other as one SVG: a row for each server, filled while it answers, with the moments of
 * its end marked, and the lost requests beneath. It follows the viewer's light or dark mode.
 */
export function chartOf(plan: Plan, outcomes: readonly ScenarioOutcome[]): string {
  const { document } = parseHTML('<html><body></body></html>');
  const panels = outcomes.map(panelOf);
  const all = <K extends 'served' | 'lost' | 'moments' | 'waits'>(key: K) => panels.flatMap((panel) => [...panel[key]]);
  const end = plan.loadMs / 1000;
  const rows = TITLE + plan.servers + LOST;
  const floor = plan.servers + LOST - 0.6;
  const tallest = Math.max(1, ...all('lost').map(({ rate }) => rate));
  const busiest = Math.max(1, ...all('served').map(({ rate }) => rate));
  const height = outcomes.length * rows * ROW + AXIS;
  const fy = 'panel';
  const heading = { fy, y: -TITLE + 1.4, fontSize: 15, fontWeight: 600 };
  const label = { fy, x: 0, dx: -8, textAnchor: 'end', fill: 'var(--muted)' } as const;

  const plot = Plot.plot({
    document,
    width: WIDTH,
    height,
    marginTop: 0,
    marginBottom: AXIS,
    marginLeft: LEFT,
    marginRight: 16,
    x: { domain: [0, end], label: 'seconds', labelAnchor: 'center', tickSize: 0 },
    y: { domain: [-TITLE, plan.servers + LOST], range: [0, rows * ROW], axis: null },
    fy: { domain: outcomes.map(({ name }) => name), axis: null, padding: 0 },
    opacity: { type: 'identity' },
    marks: [
      Plot.rect(all('served'), {
        fy,
        x1: 'from',
        x2: 'to',
        y1: ({ row }) => row + 0.1,
        y2: ({ row }) => row + 0.9,
        fill: 'var(--served)',
        fillOpacity: ({ rate }) => Number((0.3 + (0.7 * rate) / busiest).toFixed(2)),
      }),
      Plot.ruleY(panels, { fy, y: floor, stroke: 'var(--faint)' }),
      Plot.rect(all('lost'), {
        fy,
        x1: 'from',
        x2: 'to',
        y1: ({ rate }) => floor - Math.max(LEAST_BAR, ((LOST - 1) * rate) / tallest),
        y2: floor,
        fill: 'var(--lost)',
      }),
      Plot.link(all('waits'), { fy, x1: 'from', x2: 'to', y1: middle, y2: middle, stroke: 'var(--ink)' }),
      ...MOMENTS.map((moment) =>
        Plot.dot(
          all('moments').filter(({ what }) => what === moment),
          { fy, x: 'at', y: middle, ...SYMBOLS[moment] },
        ),
      ),
      Plot.text(panels, { ...label, y: 0.5, text: () => 'server 1' }),
      Plot.text(panels, { ...label, y: plan.servers - 0.5, text: () => `${plan.servers}` }),
      Plot.text(panels, { ...label, y: floor - 0.5, text: () => 'lost' }),
      Plot.text(panels, { ...heading, x: 0, text: 'title', textAnchor: 'start', fill: 'var(--ink)' }),
      ...[true, false].map((anyLost) =>
        Plot.text(
          panels.filter((panel) => panel.anyLost === anyLost),
          { ...heading, x: end, text: 'verdict', textAnchor: 'end', fill: anyLost ? 'var(--lost)' : 'var(--kept)' },
        ),
      ),
    ],
  });
  plot.setAttribute('y', String(HEADER));
  const size = { width: WIDTH, height: HEADER + height };
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${size.width}" height="${size.height}" viewBox="0 0 ${size.width} ${size.height}" role="img">
<title>${panels.map(({ title, verdict }) => `${title}: ${verdict}`).join('; ')}</title>
<style>${STYLE}</style>
<rect width="${size.width}" height="${size.height}" rx="8" fill="var(--ground)"/>
${header(plan, document)}
${nested(plot)}
</svg>
`;
}

function middle({ row }: { row: number }): number {
  return row + 0.5;
}

const SYMBOLS: Readonly<Record<Moment, Plot.DotOptions>> = {
  hook: { r: 4.5, stroke: 'var(--ink)', fill: 'var(--ground)', strokeWidth: 1.2 },
  tag: { r: 2.2, fill: 'var(--ink)' },
  reload: { r: 4.5, symbol: 'diamond', fill: 'var(--ink)', stroke: 'var(--ground)' },
  kill: { r: 4, symbol: 'times', stroke: 'var(--ink)', strokeWidth: 2.2 },
  return: { r: 4, symbol: 'triangle', fill: 'var(--ink)', stroke: 'var(--ground)' },
};

const STYLE = `
svg { --ground: #ffffff; --ink: #1f2328; --muted: #59636e; --faint: #d1d9e0; --served: #2f81d8; --lost: #d1242f; --kept: #1a7f37;
  font-family: system-ui, -apple-system, 'Segoe UI', sans-serif; font-size: 11px; color: var(--muted); }
@media (prefers-color-scheme: dark) {
  svg { --ground: #0d1117; --ink: #f0f6fc; --muted: #9198a1; --faint: #3d444d; --served: #388bfd; --lost: #ff5c57; --kept: #3fb950; }
}
`;

// Where each entry begins, in pixels: as far apart as their words are long.
const LEGEND: readonly { x: number; text: string; symbols: readonly Plot.DotOptions[] }[] = [
  { x: 76, text: 'answers (stronger: more a second)', symbols: [{ symbol: 'square', r: 5, fill: 'var(--served)' }] },
  { x: 298, text: 'message and tag', symbols: [SYMBOLS.hook, SYMBOLS.tag] },
  { x: 420, text: 'out of HAProxy', symbols: [SYMBOLS.reload] },
  { x: 535, text: 'killed', symbols: [SYMBOLS.kill] },
  { x: 600, text: 'back from the warm pool', symbols: [SYMBOLS.return] },
  { x: 776, text: 'requests lost', symbols: [{ symbol: 'square', r: 5, fill: 'var(--lost)' }] },
];

function header(plan: Plan, document: PlotDocument): string {
  const summary = `${plan.scaleInsAt.length} of ${plan.servers} servers are scaled in under ${plan.requestsPerSecond} requests a second`;
  const plot = Plot.plot({
    document,
    width: WIDTH,
    height: HEADER,
    margin: 0,
    axis: null,
    x: { type: 'identity' },
    y: { type: 'identity' },
    marks: [
      Plot.text([summary], { x: LEFT, y: 22, textAnchor: 'start', fontSize: 13, fill: 'var(--muted)' }),
      Plot.text(LEGEND, { x: ({ x }) => x + 10, y: 46, text: 'text', textAnchor: 'start', fill: 'var(--muted)' }),
      ...LEGEND.flatMap(({ x, symbols }) => symbols.map((symbol) => Plot.dot([0], { x, y: 46, ...symbol }))),
    ],
  });
  return nested(plot);
}

/** A plot as a part of the picture, whose style and title are given once for the whole. */
function nested(plot: ReturnType<typeof Plot.plot>): string {
  plot.querySelector('style')?.remove();
  plot.setAttribute('aria-hidden', 'true');
  return plot.outerHTML;
}
