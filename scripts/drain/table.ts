import { styleText } from 'node:util';
import type { Figures } from './figures.ts';
import { CAUSES, type Cause } from './load.ts';
import { SCENARIOS } from './scenario.ts';

/** The figures of the scenarios side by side, as lines of text. */
export function tableOf(figures: readonly Figures[]): string {
  const causes = CAUSES.filter((cause) => figures.some(({ lostByCause }) => lostByCause[cause] > 0));
  const rows: [string, (figures: Figures) => string][] = [
    ['', ({ name }) => SCENARIOS[name]],
    ['requests sent', ({ sent }) => count(sent)],
    ['answered', ({ answered }) => count(answered)],
    ['lost', ({ lost }) => count(lost)],
    ...causes.map((cause): [string, (figures: Figures) => string] => [
      `  ${CAUSE_NAMES[cause]}`,
      ({ lostByCause }) => count(lostByCause[cause]),
    ]),
    ['latency, p50', ({ p50Ms }) => milliseconds(p50Ms)],
    ['latency, p99', ({ p99Ms }) => milliseconds(p99Ms)],
    ['scale-ins', ({ scaleIns }) => count(scaleIns)],
    ['hook to tag, median', ({ hookToTagMs }) => milliseconds(hookToTagMs?.median)],
    ['hook to tag, longest', ({ hookToTagMs }) => milliseconds(hookToTagMs?.longest)],
    ['tag to out of HAProxy, median', ({ tagToOutMs }) => milliseconds(tagToOutMs?.median)],
    ['tag to out of HAProxy, longest', ({ tagToOutMs }) => milliseconds(tagToOutMs?.longest)],
    ['answered by the returned instance', ({ answeredAfterReturn }) => count(answeredAfterReturn)],
  ];
  return rows
    .map(([label, cell]) => {
      const line = `${label.padEnd(LABEL_WIDTH)}${figures.map((column) => cell(column).padStart(COLUMN_WIDTH)).join('')}`;
      return label === '' || label === 'lost' ? styleText('bold', line) : line;
    })
    .join('\n');
}

const LABEL_WIDTH = 34;
const COLUMN_WIDTH = 19;

const CAUSE_NAMES: Readonly<Record<Cause, string>> = {
  reset: 'reset',
  'reset on reuse': 'reset on a reused connection',
  '502': '502 Bad Gateway',
  '503': '503 Service Unavailable',
  '504': '504 Gateway Timeout',
  timeout: 'no answer in time',
  other: 'other',
};

function count(number: number): string {
  return number.toLocaleString('en');
}

function milliseconds(ms: number | null | undefined): string {
  return ms === null || ms === undefined ? '–' : `${count(ms)} ms`;
}
