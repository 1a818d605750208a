/** The part of a subscription's filter policy that the template uses: exact values, and `$or`. */
export type FilterPolicy = { readonly [key: string]: readonly (string | FilterPolicy)[] };

/**
 * Whether SNS hands a message on, with `FilterPolicyScope: MessageBody`.
 * https://docs.aws.amazon.com/sns/latest/dg/sns-subscription-filter-policies.html
 */
export function passes(policy: FilterPolicy, message: string): boolean {
  let body: unknown;
  try {
    body = JSON.parse(message);
  } catch {
    return false;
  }
  return typeof body === 'object' && body !== null && matches(policy, body as Record<string, unknown>);
}

function matches(policy: FilterPolicy, body: Record<string, unknown>): boolean {
  return Object.entries(policy).every(([key, values]) => {
    const branches = branchesOf(key, values);
    if (branches) return branches.some((branch) => matches(branch, body));
    return values.some((value) => {
      if (typeof value !== 'string') throw new Error(`${key} is compared by ${JSON.stringify(value)}, unknown here`);
      const held = body[key];
      return held === value || (Array.isArray(held) && held.includes(value));
    });
  });
}

// With fewer than two objects, "$or" is a key like any other: https://docs.aws.amazon.com/sns/latest/dg/and-or-logic.html
function branchesOf(key: string, values: readonly (string | FilterPolicy)[]): FilterPolicy[] | undefined {
  const branches = values.filter((value) => typeof value !== 'string');
  return key === '$or' && branches.length === values.length && branches.length >= 2 ? branches : undefined;
}

/** The keys whose values are compared, each as often as it stands there. */
export function comparedKeys(policy: FilterPolicy): string[] {
  return Object.entries(policy).flatMap(([key, values]) => branchesOf(key, values)?.flatMap(comparedKeys) ?? [key]);
}

/** How many combinations of values SNS counts: the product over the keys, the sum over the branches of `$or`. */
export function combinations(policy: FilterPolicy): number {
  return Object.entries(policy)
    .map(([key, values]) => {
      const branches = branchesOf(key, values);
      return branches ? branches.map(combinations).reduce((sum, count) => sum + count) : values.length;
    })
    .reduce((product, count) => product * count);
}
