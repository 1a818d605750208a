import type { Evaluated } from './figures.ts';
import type { Plan } from './plan.ts';
import { SCENARIOS, type ScaleIn, type ScenarioOutcome } from './scenario.ts';

// Pixels.
const WIDTH = 880;
const HEADER = 62;
const LEFT = 70;
const RIGHT = 16;
const ROW = 12;
const TITLE = 36;
const GAP = 14;
const LOST = 36;
const PANEL_END = 12;
const AXIS = 44;
const CAPTION = 22;
// A single lost request must be seen beside a thousand.
const LEAST_BAR = 3;

// Light, dark.
const COLOURS = {
  ground: ['#ffffff', '#0d1117'],
  ink: ['#1f2328', '#f0f6fc'],
  muted: ['#59636e', '#9198a1'],
  faint: ['#d1d9e0', '#3d444d'],
  served: ['#2f81d8', '#388bfd'],
  lost: ['#d1242f', '#ff5c57'],
  kept: ['#1a7f37', '#3fb950'],
} as const;
type Colour = keyof typeof COLOURS;

/** The light colour as an attribute, which every viewer knows; the class lets the style put the dark one over it. */
function paint(fill: Colour | 'none', stroke?: Colour): string {
  const classes = [fill === 'none' ? '' : `fill-${fill}`, stroke ? `stroke-${stroke}` : ''].join(' ').trim();
  const colour = fill === 'none' ? fill : COLOURS[fill][0];
  return `class="${classes}" fill="${colour}"${stroke ? ` stroke="${COLOURS[stroke][0]}"` : ''}`;
}

const DARK = Object.entries(COLOURS)
  .map(([name, [, dark]]) => `.fill-${name} { fill: ${dark} } .stroke-${name} { stroke: ${dark} }`)
  .join('\n  ');

/**
 * Draws the scenarios below each other as one SVG. Each server has a row, filled while the server answers, with the
 * moments of its end marked. The lost requests stand below. The SVG is light, and dark if the viewer asks for that.
 * @param problems why the run proves nothing; empty for a proof.
 */
export function chartOf(plan: Plan, outcomes: readonly Evaluated[], problems: readonly string[]): string {
  const seconds = plan.loadMs / 1000;
  const x = (ms: number) => round(LEFT + (ms / plan.loadMs) * (WIDTH - LEFT - RIGHT));
  const tallest = Math.max(1, ...outcomes.flatMap((outcome) => lostBins(outcome).map(({ rate }) => rate)));
  const panelHeight = TITLE + plan.servers * ROW + GAP + LOST + PANEL_END;
  const bottom = HEADER + outcomes.length * panelHeight;
  const caption = captionFor(outcomes, problems);
  const height = bottom + AXIS + (caption ? CAPTION : 0);
  const counts = outcomes.map((outcome) => `${SCENARIOS[outcome.name]}: ${verdictOf(outcome, problems).text}`);
  const summary = [...problems.slice(0, 1).map((problem) => `not proved: ${problem}`), ...counts].join('; ');
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" role="img" font-family="system-ui, -apple-system, 'Segoe UI', sans-serif" font-size="11">
<title>${escaped(summary)}</title>
<style>
@media (prefers-color-scheme: dark) {
  ${DARK}
}
</style>
<rect width="${WIDTH}" height="${height}" rx="8" ${paint('ground')}/>
${header(plan)}
${outcomes.map((outcome, n) => `<g transform="translate(0,${HEADER + n * panelHeight})">\n${panel(plan, outcome, { x, tallest, verdict: verdictOf(outcome, problems) })}\n</g>`).join('\n')}
${axis(seconds, x, bottom)}
${caption ? `${text(LEFT, bottom + AXIS + 6, caption.text, { size: 13, ...caption })}\n` : ''}</svg>
`;
}

const LEGEND: readonly { x: number; label: string; symbol: (x: number, y: number) => string }[] = [
  { x: 76, label: 'answers (stronger: more a second)', symbol: (x, y) => square(x, y, 'served') },
  { x: 308, label: 'message and tag', symbol: (x, y) => SYMBOLS.hook(x, y) + SYMBOLS.tag(x, y) },
  { x: 430, label: 'out of HAProxy', symbol: (x, y) => SYMBOLS.out(x, y) },
  { x: 545, label: 'killed', symbol: (x, y) => SYMBOLS.kill(x, y) },
  { x: 610, label: 'back from the warm pool', symbol: (x, y) => SYMBOLS.return(x, y) },
  { x: 780, label: 'requests lost', symbol: (x, y) => square(x, y, 'lost') },
];

function header({ scaleInsAt, servers, requestsPerSecond }: Plan): string {
  const summary = `${scaleInsAt.length} of ${servers} servers are scaled in under ${requestsPerSecond} requests a second`;
  const legend = LEGEND.map(({ x, label, symbol }) => symbol(x, 46) + text(x + 10, 50, label));
  return [text(LEFT, 26, summary, { size: 13 }), ...legend].join('\n');
}

const SYMBOLS = {
  hook: (x: number, y: number) => `<circle cx="${x}" cy="${y}" r="4.5" stroke-width="1.2" ${paint('ground', 'ink')}/>`,
  tag: (x: number, y: number) => `<circle cx="${x}" cy="${y}" r="2.2" ${paint('ink')}/>`,
  out: (x: number, y: number) => path(x, y, 'M0,-7.4L4.3,0L0,7.4L-4.3,0Z', paint('ink', 'ground')),
  kill: (x: number, y: number) => path(x, y, 'M-4.3,-4.3L4.3,4.3M-4.3,4.3L4.3,-4.3', paint('none', 'ink'), 2.2),
  return: (x: number, y: number) => path(x, y, 'M0,-6.2L5.4,3.1L-5.4,3.1Z', paint('ink', 'ground')),
};

interface PanelOptions {
  readonly x: (ms: number) => number;
  readonly tallest: number;
  readonly verdict: Verdict;
}

function panel(plan: Plan, outcome: Evaluated, { x, tallest, verdict }: PanelOptions): string {
  const { instanceIds, scaleIns, returned } = outcome;
  const rowOf = (instanceId: string) => TITLE + (instanceIds.indexOf(instanceId) + 0.5) * ROW;
  const floor = TITLE + plan.servers * ROW + GAP + LOST;
  const stretches = instanceIds.map((instanceId) => stretchesOf(outcome, instanceId));
  const busiest = Math.max(1, ...stretches.flat().map(({ rate }) => rate));
  const served = stretches.flatMap((ofServer, row) =>
    ofServer.map(({ from, to, rate }) => {
      const opacity = round(0.3 + (0.7 * rate) / busiest);
      const y = round(TITLE + row * ROW + 1.2);
      return `<rect x="${x(from)}" y="${y}" width="${round(x(to) - x(from))}" height="9.6" opacity="${opacity}"/>`;
    }),
  );
  const lost = lostBins(outcome).map(({ from, to, rate }) => {
    const tall = round(Math.max(LEAST_BAR, (LOST * rate) / tallest));
    return `<rect x="${x(from)}" y="${round(floor - tall)}" width="${round(x(Math.min(to, plan.loadMs)) - x(from))}" height="${tall}"/>`;
  });
  const moments = scaleIns.map((scaleIn) => momentsOf(scaleIn, x, rowOf(scaleIn.instanceId)));
  return [
    text(LEFT, 26, SCENARIOS[outcome.name], { size: 15, weight: 600, colour: 'ink' }),
    text(WIDTH - RIGHT, 26, verdict.text, { size: 15, weight: 600, colour: verdict.colour, anchor: 'end' }),
    text(LEFT - 8, TITLE + 10, 'server 1', { anchor: 'end' }),
    text(LEFT - 8, TITLE + plan.servers * ROW - 2, String(plan.servers), { anchor: 'end' }),
    `<g ${paint('served')}>${served.join('')}</g>`,
    line(LEFT, WIDTH - RIGHT, floor, 'faint'),
    line(LEFT, WIDTH - RIGHT, floor - LOST, 'faint', '2 4'),
    text(LEFT - 8, floor - LOST + 4, `${tallest} lost/s`, { anchor: 'end' }),
    text(LEFT - 8, floor + 4, '0', { anchor: 'end' }),
    `<g ${paint('lost')}>${lost.join('')}</g>`,
    ...moments,
    SYMBOLS.return(x(returned.at), rowOf(returned.instanceId)),
  ].join('\n');
}

function momentsOf({ hookAt, taggedAt, outAt, killedAt }: ScaleIn, x: (ms: number) => number, y: number): string {
  const wait = hookAt !== undefined && killedAt !== undefined ? line(x(hookAt), x(killedAt), y, 'ink') : '';
  const at = (time: number | undefined, symbol: keyof typeof SYMBOLS) =>
    time === undefined ? '' : SYMBOLS[symbol](x(time), y);
  return wait + at(hookAt, 'hook') + at(taggedAt, 'tag') + at(outAt, 'out') + at(killedAt, 'kill');
}

interface Verdict {
  readonly text: string;
  readonly colour: Colour;
  readonly weight?: number;
}

function verdictOf({ figures: { lost, sent } }: Evaluated, problems: readonly string[]): Verdict {
  const text = `${lost.toLocaleString('en')} of ${sent.toLocaleString('en')} requests lost`;
  if (lost > 0) return { text, colour: 'lost' };
  return { text, colour: problems.length > 0 ? 'muted' : 'kept' };
}

function captionFor(outcomes: readonly Evaluated[], [problem]: readonly string[]): Verdict | undefined {
  if (problem !== undefined) return { text: shortened(`not proved: ${problem}`), colour: 'lost', weight: 600 };
  if (outcomes.every(({ name }) => name !== 'function')) return undefined;
  return {
    text: 'With the function no request is lost: a server is first tagged, then taken out of HAProxy, and only then killed.',
    colour: 'ink',
  };
}

// Characters that fit into a line of the caption.
const MOST_CHARACTERS = 108;

function shortened(text: string): string {
  if (text.length <= MOST_CHARACTERS) return text;
  return `${text.slice(0, text.lastIndexOf(' ', MOST_CHARACTERS - 2))} …`;
}

function escaped(text: string): string {
  return text.replace(/[&<>]/g, (character) => `&#${character.charCodeAt(0)};`);
}

const TICKS_S = [1, 2, 5, 10, 20, 50];
const MOST_TICKS = 15;

function axis(seconds: number, x: (ms: number) => number, y: number): string {
  const step = TICKS_S.find((step) => seconds / step <= MOST_TICKS) ?? 100;
  const ticks = Array.from({ length: Math.floor(seconds / step) + 1 }, (_, n) => n * step);
  return [
    ...ticks.map((tick) => text(x(tick * 1000), y + 12, String(tick), { anchor: 'middle' })),
    text((LEFT + WIDTH - RIGHT) / 2, y + 30, 'seconds', { anchor: 'middle' }),
  ].join('');
}

const LOST_BIN_MS = 500;

/** The lost requests over time; `rate` in requests per second. */
function lostBins({ results }: ScenarioOutcome): Stretch[] {
  const times = results.filter(({ server }) => server === undefined).map(({ at }) => at);
  return [...binned(times, LOST_BIN_MS)].map(([bin, { length }]) => ({
    from: bin * LOST_BIN_MS,
    to: (bin + 1) * LOST_BIN_MS,
    rate: (length * 1000) / LOST_BIN_MS,
  }));
}

interface Stretch {
  /** Milliseconds since the load began. */
  readonly from: number;
  readonly to: number;
  /** Requests per second. */
  readonly rate: number;
}

const SERVED_BIN_MS = 1000;
// Steps of the rate that the eye can distinguish.
const RATE_STEP = 35;

/** The stretches of time in which a server's rate stays about the same, from their first request to their last. */
function stretchesOf({ results }: ScenarioOutcome, instanceId: string): Stretch[] {
  const times = results.filter(({ server }) => server === instanceId).map(({ at }) => at);
  const found: { bin: number; from: number; to: number; rate: number }[] = [];
  for (const [bin, inBin] of binned(times, SERVED_BIN_MS)) {
    const rate = Math.ceil((inBin.length * 1000) / SERVED_BIN_MS / RATE_STEP) * RATE_STEP;
    const [from = 0, to = 0] = [inBin.at(0), inBin.at(-1)];
    const before = found.at(-1);
    if (before?.bin === bin - 1) {
      // No gap is drawn where there is none.
      before.to = before.rate === rate ? to : from;
      if (before.rate === rate) before.bin = bin;
    }
    if (before?.bin !== bin) found.push({ bin, from, to, rate });
  }
  return found;
}

/** The times of each bin that has any. */
function binned(times: readonly number[], binMs: number): Map<number, number[]> {
  return Map.groupBy(times, (time) => Math.floor(time / binMs));
}

interface TextOptions {
  readonly size?: number;
  readonly weight?: number;
  readonly anchor?: 'middle' | 'end';
  readonly colour?: Colour;
}

function text(x: number, y: number, content: string, options: TextOptions = {}): string {
  const { size, weight, anchor, colour = 'muted' } = options;
  const attributes = { 'font-size': size, 'font-weight': weight, 'text-anchor': anchor };
  const given = Object.entries(attributes).flatMap(([name, value]) =>
    value === undefined ? [] : `${name}="${value}"`,
  );
  return `<text x="${round(x)}" y="${round(y)}" ${given.join(' ')} ${paint(colour)}>${escaped(content)}</text>`;
}

function line(from: number, to: number, y: number, colour: Colour, dashes?: string): string {
  const dashed = dashes ? ` stroke-dasharray="${dashes}"` : '';
  return `<path d="M${from},${round(y)}H${to}"${dashed} ${paint('none', colour)}/>`;
}

function path(x: number, y: number, d: string, colours: string, width = 1.5): string {
  return `<path transform="translate(${x},${round(y)})" d="${d}" stroke-width="${width}" ${colours}/>`;
}

function square(x: number, y: number, colour: Colour): string {
  return `<rect x="${x - 4.5}" y="${y - 4.5}" width="9" height="9" ${paint(colour)}/>`;
}

function round(number: number): number {
  return Math.round(number * 100) / 100;
}
