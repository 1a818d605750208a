/** A result: one row for each thing compared, with the same columns in all of them. */
export interface Table {
  readonly title: string;
  readonly rows: readonly Readonly<Record<string, string | number>>[];
  /** What a reader needs to know to read the figures rightly. */
  readonly notes: readonly string[];
}

/** Writes a table for people, as text or as Markdown. */
export function write({ title, rows, notes }: Table, markdown: boolean): string {
  const columns = Object.keys(rows[0] ?? {});
  const cells = [columns, ...rows.map((row) => columns.map((column) => shown(row[column])))];
  const widths = columns.map((_, column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)));
  const aligned = cells.map((row) => row.map((cell, column) => pad(cell, widths[column] ?? 0, column > 0)));
  if (!markdown) {
    return [title, ...aligned.map((row) => `  ${row.join('  ').trimEnd()}`), ...notes.map((note) => `  ${note}`)].join(
      '\n',
    );
  }
  const rule = widths.map((width, column) => (column > 0 ? `${'-'.repeat(width - 1)}:` : '-'.repeat(width)));
  const lines = [aligned[0] ?? [], rule, ...aligned.slice(1)].map((row) => `| ${row.join(' | ')} |`);
  return [`**${title}**`, '', ...lines, '', ...notes].join('\n');
}

/** The middle one of some numbers. */
export function median(numbers: readonly number[]): number {
  const sorted = numbers.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 ? upper : ((sorted[middle - 1] ?? upper) + upper) / 2;
}

/** Rounds to so many digits after the point. */
export function round(number: number, digits = 0): number {
  return Number(number.toFixed(digits));
}

function shown(value: string | number | undefined): string {
  return typeof value === 'number' ? value.toLocaleString('en-US', { maximumFractionDigits: 3 }) : (value ?? '');
}

function pad(cell: string, width: number, right: boolean): string {
  return right ? cell.padStart(width) : cell.padEnd(width);
}
