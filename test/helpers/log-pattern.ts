/**
 * Whether a metric filter's pattern finds a log line. This helper knows only comparisons of JSON fields with a text or
 * with `*`, joined by `&&`.
 * https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntaxForMetricFilters.html
 */
export function finds(pattern: string, line: unknown): boolean {
  const [, comparisons] = /^\{ (.+) \}$/.exec(pattern) ?? [];
  if (comparisons === undefined) throw new Error(`${pattern} is not a pattern for JSON`);
  return comparisons.split(' && ').every((comparison) => {
    const [, selector, text] = /^(\$\S+) = "?([^"]+)"?$/.exec(comparison) ?? [];
    if (selector === undefined) throw new Error(`${comparison} is a comparison that this helper does not know`);
    const value = select(line, selector);
    return text === '*' ? value !== undefined : value === text;
  });
}

/** The value that a selector such as `$.message.outcome` names. */
export function select(line: unknown, selector: string): unknown {
  const [root, ...keys] = selector.split('.');
  if (root !== '$') throw new Error(`${selector} is a selector that this helper does not know`);
  return keys.reduce<unknown>((value, key) => (value as Record<string, unknown> | undefined)?.[key], line);
}
