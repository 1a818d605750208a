import type { Evaluated } from './figures.ts';
import type { Plan } from './plan.ts';
import { SCENARIOS, type ScaleIn } from './scenario.ts';

// Pixels.
const WIDTH = 880;
const HEADER = 62;
const LEFT = 70;
const RIGHT = WIDTH - 16;
const TITLE = 36;
const ROW = 12;
const GAP = 14;
const LOST = 36;
const PANEL_END = 12;
const AXIS = 44;
const CAPTION = 22;
// Light enough for the marks to be seen.
const SERVED_OPACITY = 0.6;
// A single lost request must be visible beside a thousand.
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

const DARK = Object.entries(COLOURS)
  .map(([name, [, dark]]) => `.fill-${name} { fill: ${dark} } .stroke-${name} { stroke: ${dark} }`)
  .join('\n  ');

/** Attributes for the light colour, because some viewers ignore styles, and classes for the dark one. */
function paint(fill: Colour | 'none', stroke: Colour | 'none' = 'none'): string {
  const light = (colour: Colour | 'none') => (colour === 'none' ? colour : COLOURS[colour][0]);
  return `class="fill-${fill} stroke-${stroke}" fill="${light(fill)}" stroke="${light(stroke)}"`;
}

const SYMBOLS = `<defs>
<circle id="hook" r="4.5" stroke-width="1.2" ${paint('ground', 'ink')}/>
<circle id="tag" r="2.2" ${paint('ink')}/>
<path id="out" d="M0,-7.4L4.3,0L0,7.4L-4.3,0Z" stroke-width="1.5" ${paint('ink', 'ground')}/>
<path id="kill" d="M-4.3,-4.3L4.3,4.3M-4.3,4.3L4.3,-4.3" stroke-width="2.2" ${paint('none', 'ink')}/>
<path id="return" d="M0,-6.2L5.4,3.1L-5.4,3.1Z" stroke-width="1.5" ${paint('ink', 'ground')}/>
<rect id="answers" x="-4.5" y="-4.5" width="9" height="9" opacity="${SERVED_OPACITY}" ${paint('served')}/>
<rect id="losses" x="-4.5" y="-4.5" width="9" height="9" ${paint('lost')}/>
</defs>`;
type Symbol = 'hook' | 'tag' | 'out' | 'kill' | 'return' | 'answers' | 'losses';

const LEGEND: readonly { x: number; label: string; symbols: readonly Symbol[] }[] = [
  { x: 76, label: 'answers', symbols: ['answers'] },
  { x: 160, label: 'message and tag', symbols: ['hook', 'tag'] },
  { x: 295, label: 'out of HAProxy', symbols: ['out'] },
  { x: 425, label: 'killed', symbols: ['kill'] },
  { x: 505, label: 'back from the warm pool', symbols: ['return'] },
  { x: 685, label: 'requests lost', symbols: ['losses'] },
];

/**
 * Draws the scenarios below each other as one SVG. Each server has a row, filled while the server answers, with marks for
 * the moments of its end. Bars below the rows show the lost requests. The SVG has light colours, and dark colours if the
 * viewer asks for them.
 * @param problems why the run proves nothing; empty for a proof.
 */
export function chartOf(plan: Plan, outcomes: readonly Evaluated[], problems: readonly string[]): string {
  const x = (ms: number) => round(LEFT + (ms / plan.loadMs) * (RIGHT - LEFT));
  const mostLost = Math.max(1, ...outcomes.flatMap((outcome) => [...lossesOf(outcome).values()]));
  const panelHeight = TITLE + plan.servers * ROW + GAP + LOST + PANEL_END;
  const bottom = HEADER + outcomes.length * panelHeight;
  const height = bottom + AXIS + CAPTION;
  const [problem] = problems.map((problem) => `not proved: ${problem}`);
  const proved = outcomes.some(({ name }) => name === 'function')
    ? 'With the function no request is lost: a server is first tagged, then taken out of HAProxy, and only then killed.'
    : '';
  const caption = problem
    ? text(LEFT, bottom + AXIS + 6, shortened(problem), { size: 13, weight: 600, colour: 'lost' })
    : text(LEFT, bottom + AXIS + 6, proved, { size: 13, colour: 'ink' });
  const panels = outcomes.map((outcome, n) => {
    const content = panel(plan, outcome, { x, mostLost, isProved: problem === undefined });
    return `<g transform="translate(0,${HEADER + n * panelHeight})">\n${content}\n</g>`;
  });
  const counts = outcomes.map((outcome) => `${SCENARIOS[outcome.name]}: ${lostOf(outcome)}`);
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" role="img" font-family="system-ui, -apple-system, 'Segoe UI', sans-serif" font-size="11">
<title>${escaped([problem, ...counts].filter(Boolean).join('; '))}</title>
<style>
@media (prefers-color-scheme: dark) {
  ${DARK}
}
</style>
${SYMBOLS}
<rect width="${WIDTH}" height="${height}" rx="8" ${paint('ground')}/>
${header(plan)}
${panels.join('\n')}
${axis(plan.loadMs / 1000, x, bottom)}
${caption}
</svg>
`;
}

function header({ scaleInsAt, servers, requestsPerSecond }: Plan): string {
  const summary = `${scaleInsAt.length} of ${servers} servers are scaled in under ${requestsPerSecond} requests a second`;
  const legend = LEGEND.map(({ x, label, symbols }) => [
    ...symbols.map((symbol) => use(symbol, x, 46)),
    text(x + 10, 50, label),
  ]);
  return [text(LEFT, 26, summary, { size: 13 }), ...legend.flat()].join('\n');
}

interface PanelOptions {
  readonly x: (ms: number) => number;
  /** Lost requests of the tallest bar in all panels. */
  readonly mostLost: number;
  readonly isProved: boolean;
}

function panel({ servers, loadMs }: Plan, outcome: Evaluated, { x, mostLost, isProved }: PanelOptions): string {
  const { name, instanceIds, scaleIns, returned, figures } = outcome;
  const middle = (instanceId: string) => TITLE + (instanceIds.indexOf(instanceId) + 0.5) * ROW;
  const floor = TITLE + servers * ROW + GAP + LOST;
  const bar = (from: number, to: number, y: number, height: number) =>
    `<rect x="${x(from)}" y="${round(y)}" width="${round(x(to) - x(from))}" height="${round(height)}"/>`;
  const served = instanceIds.flatMap((id) =>
    stretchesOf(outcome, id).map(({ from, to }) => bar(from, to, middle(id) - 4.8, 9.6)),
  );
  const lost = [...lossesOf(outcome)].map(([from, count]) => {
    const height = Math.max(LEAST_BAR, (LOST * count) / mostLost);
    return bar(from, Math.min(from + LOST_BIN_MS, loadMs), floor - height, height);
  });
  const colour = figures.lost > 0 ? 'lost' : isProved ? 'kept' : 'muted';
  return [
    text(LEFT, 26, SCENARIOS[name], { size: 15, weight: 600, colour: 'ink' }),
    text(RIGHT, 26, lostOf(outcome), { size: 15, weight: 600, colour, anchor: 'end' }),
    text(LEFT - 8, TITLE + 10, 'server 1', { anchor: 'end' }),
    text(LEFT - 8, TITLE + servers * ROW - 2, String(servers), { anchor: 'end' }),
    `<g opacity="${SERVED_OPACITY}" ${paint('served')}>${served.join('')}</g>`,
    line(LEFT, RIGHT, floor, 'faint'),
    line(LEFT, RIGHT, floor - LOST, 'faint'),
    text(LEFT - 8, floor - LOST + 4, `${(mostLost * 1000) / LOST_BIN_MS} lost/s`, { anchor: 'end' }),
    text(LEFT - 8, floor + 4, '0', { anchor: 'end' }),
    `<g ${paint('lost')}>${lost.join('')}</g>`,
    ...scaleIns.map((scaleIn) => momentsOf(scaleIn, x, middle(scaleIn.instanceId))),
    use('return', x(returned.at), middle(returned.instanceId)),
  ].join('\n');
}

function momentsOf({ hookAt, taggedAt, outAt, killedAt }: ScaleIn, x: (ms: number) => number, y: number): string {
  const wait = hookAt !== undefined && killedAt !== undefined ? line(x(hookAt), x(killedAt), y, 'ink') : '';
  const mark = (time: number | undefined, symbol: Symbol) => (time === undefined ? '' : use(symbol, x(time), y));
  return wait + mark(hookAt, 'hook') + mark(taggedAt, 'tag') + mark(outAt, 'out') + mark(killedAt, 'kill');
}

function lostOf({ figures: { lost, sent } }: Evaluated): string {
  return `${lost.toLocaleString('en')} of ${sent.toLocaleString('en')} requests lost`;
}

const TICKS_S = [1, 2, 5, 10, 20, 50];
const MOST_TICKS = 15;

function axis(seconds: number, x: (ms: number) => number, y: number): string {
  const step = TICKS_S.find((step) => seconds / step <= MOST_TICKS) ?? 100;
  const ticks = Array.from({ length: Math.floor(seconds / step) + 1 }, (_, n) => n * step);
  return [
    ...ticks.map((tick) => text(x(tick * 1000), y + 12, String(tick), { anchor: 'middle' })),
    text((LEFT + RIGHT) / 2, y + 30, 'seconds', { anchor: 'middle' }),
  ].join('');
}

const LOST_BIN_MS = 500;

/** The number of lost requests by the time at which their bin begins. */
function lossesOf({ results }: Evaluated): Map<number, number> {
  const lost = results.filter(({ server }) => server === undefined);
  const bins = Map.groupBy(lost, ({ at }) => Math.floor(at / LOST_BIN_MS) * LOST_BIN_MS);
  return new Map([...bins].map(([from, { length }]) => [from, length]));
}

// Longer than a server under load is ever idle.
const PAUSE_MS = 1000;

/** The times in which a server answers without a pause. */
function stretchesOf({ results }: Evaluated, instanceId: string): { from: number; to: number }[] {
  const stretches: { from: number; to: number }[] = [];
  for (const { at } of results.filter(({ server }) => server === instanceId)) {
    const last = stretches.at(-1);
    if (last && at - last.to < PAUSE_MS) last.to = at;
    else stretches.push({ from: at, to: at });
  }
  return stretches;
}

// Characters that fit into a line of the caption.
const MOST_CHARACTERS = 108;

function shortened(text: string): string {
  if (text.length <= MOST_CHARACTERS) return text;
  return `${text.slice(0, text.lastIndexOf(' ', MOST_CHARACTERS - 2))} …`;
}

interface TextOptions {
  readonly size?: number;
  readonly weight?: number;
  readonly anchor?: 'start' | 'middle' | 'end';
  readonly colour?: Colour;
}

function text(x: number, y: number, content: string, options: TextOptions = {}): string {
  const { size = 11, weight = 400, anchor = 'start', colour = 'muted' } = options;
  return `<text x="${x}" y="${y}" font-size="${size}" font-weight="${weight}" text-anchor="${anchor}" ${paint(colour)}>${escaped(content)}</text>`;
}

function escaped(text: string): string {
  return text.replace(/[&<>]/g, (character) => `&#${character.charCodeAt(0)};`);
}

function use(symbol: Symbol, x: number, y: number): string {
  return `<use href="#${symbol}" x="${x}" y="${y}"/>`;
}

function line(from: number, to: number, y: number, colour: Colour): string {
  return `<path d="M${from},${y}H${to}" ${paint('none', colour)}/>`;
}

function round(number: number): number {
  return Math.round(number * 100) / 100;
}
