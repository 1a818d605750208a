/** The part of a filter policy that the template uses: `$or` over keys with exact values. */
export interface FilterPolicy {
  readonly $or: readonly Readonly<Record<string, readonly string[]>>[];
}

/**
 * Whether SNS delivers a message under `FilterPolicyScope: MessageBody`.
 * https://docs.aws.amazon.com/sns/latest/dg/and-or-logic.html
 */
export function passes({ $or, ...others }: FilterPolicy, message: string): boolean {
  if (Object.keys(others).length > 0) throw new Error(`this helper knows only $or, not ${Object.keys(others)}`);
  let body: Readonly<Record<string, unknown>>;
  try {
    body = JSON.parse(message) ?? {};
  } catch {
    return false;
  }
  return $or.some((keys) => Object.entries(keys).every(([key, values]) => values.includes(String(body[key]))));
}
