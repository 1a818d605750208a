import type { Evaluated } from './figures.ts';
import type { Plan } from './plan.ts';
import { hasFunction, SCENARIOS, type ScaleIn } from './scenario.ts';

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
// A single lost request must be visible beside a thousand.
const LEAST_BAR = 3;

const INK = '#1f2328';
const MUTED = '#59636e';
const FAINT = '#d1d9e0';
// Light enough for the marks to be seen.
const ANSWERED = '#82acdc';
const RED = '#d1242f';
const GREEN = '#1a7f37';

const HEADING = 'font-size="15" font-weight="600"';
const END = 'text-anchor="end"';
const MIDDLE = 'text-anchor="middle"';

const MARKS = `<defs>
<circle id="tag" r="3" fill="${INK}"/>
<path id="out" d="M0,-7.4L4.3,0L0,7.4L-4.3,0Z" fill="${INK}" stroke="#ffffff" stroke-width="1.5"/>
<path id="kill" d="M-4.3,-4.3L4.3,4.3M-4.3,4.3L4.3,-4.3" stroke="${INK}" stroke-width="2.2"/>
<path id="return" d="M0,-6.2L5.4,3.1L-5.4,3.1Z" fill="${INK}" stroke="#ffffff" stroke-width="1.5"/>
<rect id="answers" x="-4.5" y="-4.5" width="9" height="9" fill="${ANSWERED}"/>
<rect id="losses" x="-4.5" y="-4.5" width="9" height="9" fill="${RED}"/>
</defs>`;
type Mark = 'tag' | 'out' | 'kill' | 'return' | 'answers' | 'losses';

const LEGEND: readonly (readonly [x: number, mark: Mark, label: string])[] = [
  [76, 'answers', 'answers'],
  [160, 'tag', 'tagged'],
  [245, 'out', 'out of HAProxy'],
  [375, 'kill', 'killed'],
  [455, 'return', 'back from the warm pool'],
  [635, 'losses', 'requests lost'],
];

/**
 * Draws the scenarios below each other as one SVG. Each server has a row, filled while the server answers, with marks for
 * the moments of its end. Bars below the rows show the lost requests.
 */
export function chartOf(plan: Plan, outcomes: readonly Evaluated[], isProved: boolean): string {
  const { scaleInsAt, servers, requestsPerSecond } = plan;
  const panelHeight = TITLE + servers * ROW + GAP + LOST + PANEL_END;
  const bottom = HEADER + outcomes.length * panelHeight;
  const height = bottom + AXIS + CAPTION;
  const mostLost = Math.max(1, ...outcomes.flatMap((outcome) => [...lossesOf(outcome).values()]));
  const panels = outcomes.map((outcome, n) => {
    const content = panel(plan, outcome, mostLost, isProved);
    return `<g transform="translate(0,${HEADER + n * panelHeight})">\n${content}\n</g>`;
  });
  const summary = `${scaleInsAt.length} of ${servers} servers are scaled in under ${requestsPerSecond} requests a second`;
  const verdict = isProved ? '' : 'not proved: ';
  const counts = outcomes.map((outcome) => `${SCENARIOS[outcome.name]}: ${lostOf(outcome)}`).join('; ');
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" role="img" font-family="system-ui, -apple-system, 'Segoe UI', sans-serif" font-size="11" fill="${MUTED}">
<title>${verdict}${counts}</title>
${MARKS}
<rect width="${WIDTH}" height="${height}" rx="8" fill="#ffffff"/>
${text(LEFT, 26, summary, 'font-size="13"')}
${LEGEND.map(([x, mark, label]) => use(mark, x, 46) + text(x + 10, 50, label)).join('\n')}
${panels.join('\n')}
${axis(plan, bottom)}
${caption(outcomes, isProved, bottom + AXIS + 6)}
</svg>
`;
}

function caption(outcomes: readonly Evaluated[], isProved: boolean, y: number): string {
  if (!isProved) return text(LEFT, y, 'not proved', `font-size="13" font-weight="600" fill="${RED}"`);
  if (!outcomes.some(({ name }) => hasFunction(name))) return '';
  const proved =
    'With the function no request is lost: a server is first tagged, then taken out of HAProxy, and only then killed.';
  return text(LEFT, y, proved, `font-size="13" fill="${INK}"`);
}

/** @param mostLost lost requests of the tallest bar in all panels. */
function panel(plan: Plan, outcome: Evaluated, mostLost: number, isProved: boolean): string {
  const { servers, loadMs } = plan;
  const { name, instanceIds, scaleIns, returned, figures } = outcome;
  const x = (ms: number) => xOf(plan, ms);
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
  const success = isProved ? GREEN : MUTED;
  return [
    text(LEFT, 26, SCENARIOS[name], `${HEADING} fill="${INK}"`),
    text(RIGHT, 26, lostOf(outcome), `${HEADING} ${END} fill="${figures.lost > 0 ? RED : success}"`),
    text(LEFT - 8, TITLE + 10, 'server 1', END),
    text(LEFT - 8, TITLE + servers * ROW - 2, String(servers), END),
    `<g fill="${ANSWERED}">${served.join('')}</g>`,
    line(LEFT, RIGHT, floor, FAINT),
    line(LEFT, RIGHT, floor - LOST, FAINT),
    text(LEFT - 8, floor - LOST + 4, `${(mostLost * 1000) / LOST_BIN_MS} lost/s`, END),
    text(LEFT - 8, floor + 4, '0', END),
    `<g fill="${RED}">${lost.join('')}</g>`,
    ...scaleIns.map((scaleIn) => momentsOf(scaleIn, x, middle(scaleIn.instanceId))),
    use('return', x(returned.at), middle(returned.instanceId)),
  ].join('\n');
}

function momentsOf({ taggedAt, outAt, killedAt }: ScaleIn, x: (ms: number) => number, y: number): string {
  const wait = taggedAt !== undefined && killedAt !== undefined ? line(x(taggedAt), x(killedAt), y, INK) : '';
  const mark = (time: number | undefined, mark: Mark) => (time === undefined ? '' : use(mark, x(time), y));
  return wait + mark(taggedAt, 'tag') + mark(outAt, 'out') + mark(killedAt, 'kill');
}

function lostOf({ figures: { lost, sent } }: Evaluated): string {
  return `${lost.toLocaleString('en')} of ${sent.toLocaleString('en')} requests lost`;
}

const MOST_TICKS = 15;

function axis(plan: Plan, y: number): string {
  const seconds = plan.loadMs / 1000;
  const step = [1, 2, 5, 10, 20, 50].find((step) => seconds / step <= MOST_TICKS) ?? 100;
  const ticks = Array.from({ length: Math.floor(seconds / step) + 1 }, (_, n) => n * step);
  return [
    ...ticks.map((tick) => text(xOf(plan, tick * 1000), y + 12, String(tick), MIDDLE)),
    text((LEFT + RIGHT) / 2, y + 30, 'seconds', MIDDLE),
  ].join('');
}

function xOf({ loadMs }: Plan, ms: number): number {
  return round(LEFT + (ms / loadMs) * (RIGHT - LEFT));
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

function text(x: number, y: number, content: string, attributes = ''): string {
  return `<text x="${x}" y="${y}" ${attributes}>${content}</text>`;
}

function use(mark: Mark, x: number, y: number): string {
  return `<use href="#${mark}" x="${x}" y="${y}"/>`;
}

function line(from: number, to: number, y: number, colour: string): string {
  return `<path d="M${from},${y}H${to}" stroke="${colour}"/>`;
}

function round(number: number): number {
  return Math.round(number * 100) / 100;
}
