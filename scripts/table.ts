/** A result: one row for each variant, with the same columns in all rows. */
export interface Table {
  readonly title: string;
  /** `null` stands for a figure that the variant does not have. */
  readonly rows: readonly Readonly<Record<string, string | number | null>>[];
  /** How to read the figures. */
  readonly notes: readonly string[];
}

export function write({ title, rows, notes }: Table): string {
  const columns = Object.keys(rows[0] ?? {});
  const lines = align([columns, ...rows.map((row) => columns.map((column) => shown(row[column])))]);
  return [title, ...[...lines, ...notes].map((line) => `  ${line}`)].join('\n');
}

/** Makes a line of each row, with aligned columns: the first column left, the others right. */
export function align(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? [];
  return rows.map((row) =>
    row
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0)))
      .join('  ')
      .trimEnd(),
  );
}

export function median(numbers: readonly number[]): number {
  const sorted = numbers.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 ? upper : ((sorted[middle - 1] ?? upper) + upper) / 2;
}

export function round(number: number, digits = 0): number {
  return Number(number.toFixed(digits));
}

function shown(value: string | number | null | undefined): string {
  return typeof value === 'number' ? value.toLocaleString('en-US', { maximumFractionDigits: 3 }) : (value ?? '');
}
