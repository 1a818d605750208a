type Value = string | number | readonly string[] | readonly object[];

/**
 * A command of the AWS CLI for a POSIX shell. A list of texts becomes one word for each text, a list of objects JSON.
 * @param options by name without `--`; undefined ones are left out.
 */
export function awsCommand(
  region: string,
  operation: `${string} ${string}`,
  options: Readonly<Record<string, Value | undefined>>,
): string {
  const words = Object.entries({ region, ...options }).flatMap(([name, value]) =>
    value === undefined ? [] : [`--${name}`, ...wordsOf(value).map(quoted)],
  );
  return ['aws', operation, ...words].join(' ');
}

function wordsOf(value: Value): readonly string[] {
  if (typeof value === 'string' || typeof value === 'number') return [String(value)];
  return isTexts(value) ? value : [JSON.stringify(value)];
}

function isTexts(value: object): value is readonly string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string');
}

/** One word for a POSIX shell. */
function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
