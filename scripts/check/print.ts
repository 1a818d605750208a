import { styleText } from 'node:util';
import { printable, printableJson } from '../command.ts';
import type { Link } from './link.ts';

const COLORS = { ok: 'green', broken: 'red', unknown: 'yellow' } as const;

/** The links as lines for a terminal. */
export function linesOf(links: readonly Link[]): string[] {
  const places = links.map(({ link, group }) => printable(group === null ? link : `${group}: ${link}`));
  const width = Math.max(...places.map((place) => place.length));
  return links.flatMap(({ state, finding, fix }, index) => {
    const place = styleText('bold', (places[index] ?? '').padEnd(width));
    const line = `${styleText(COLORS[state], state.padEnd(7))}  ${place}  ${printable(finding)}`;
    return fix === null ? [line] : [line, `         ${styleText('dim', 'fix:')} ${printable(fix)}`];
  });
}

/** The links as JSON on one line. */
export function jsonOf(links: readonly Link[]): string {
  return printableJson({ links });
}
