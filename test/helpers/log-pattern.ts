/**
 * Whether CloudWatch Logs' pattern finds a line: comparisons of JSON fields with a text or, for one that has to be there,
 * with `*`, joined by `&&`; in parentheses, by `||`.
 * https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntaxForMetricFilters.html
 * @throws Error for what is not covered.
 */
export function finds(pattern: string, line: unknown): boolean {
  const [, conditions] = /^\{ (.+) \}$/.exec(pattern) ?? [];
  if (conditions === undefined) throw new Error(`${pattern} is no pattern for JSON`);
  return conditions.split(' && ').every((condition) => {
    const [, alternatives] = /^\((.+)\)$/.exec(condition) ?? [];
    return (alternatives ?? condition).split(alternatives ? ' || ' : ' && ').some((text) => compares(text, line));
  });
}

function compares(comparison: string, line: unknown): boolean {
  const [, selector, text] = /^(\$\S+) = (?:"([^"*]+)"|\*)$/.exec(comparison) ?? [];
  if (selector === undefined) throw new Error(`${comparison} is a comparison that is unknown here`);
  const held = select(line, selector);
  return text === undefined ? held !== undefined : held === text;
}

/** What a selector such as `$.message.outcome` picks out of a line. */
export function select(line: unknown, selector: string): unknown {
  const [root, ...keys] = selector.split('.');
  if (root !== '$') throw new Error(`${selector} is a selector that is unknown here`);
  return keys.reduce<unknown>((value, key) => (value as Record<string, unknown> | undefined)?.[key], line);
}
