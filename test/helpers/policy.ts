/** A statement of a policy, as far as the template uses its language. */
export interface Statement {
  readonly Sid?: string;
  readonly Effect: string;
  readonly Principal?: Readonly<Record<string, string>>;
  readonly Action: string | readonly string[];
  readonly Resource?: string;
  readonly Condition?: Readonly<Record<string, Readonly<Record<string, string | readonly string[]>>>>;
}

export interface PolicyDocument {
  readonly Version: string;
  readonly Statement: readonly Statement[];
}

/** A call as IAM sees it; `context` holds the condition keys that the service hands over. */
export interface Request {
  readonly action: string;
  readonly resource: string;
  readonly context?: Readonly<Record<string, string | readonly string[]>>;
}

/** The actions that statements name. */
export function actionsOf(statements: readonly Statement[]): string[] {
  return statements.flatMap(({ Action }) => Action);
}

/**
 * Whether one of the statements allows a call.
 * https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html
 */
export function allows(statements: readonly Statement[], { action, resource, context = {} }: Request): boolean {
  return statements.some((statement) => {
    const { Effect, Action, Resource = '', Condition = {} } = statement;
    if (Effect !== 'Allow') throw new Error(`a statement's effect is ${Effect}, unknown here`);
    const holds = Object.entries(Condition).every(([operator, keys]) =>
      Object.entries(keys).every(([key, expected]) => compare(operator, [expected].flat(), find(context, key))),
    );
    return [Action].flat().includes(action) && matches(Resource, resource) && holds;
  });
}

// The names of condition keys are not case-sensitive, a tag's key at their end included; their values are.
function find(context: Request['context'] = {}, key: string): readonly string[] | undefined {
  const [, held] = Object.entries(context).find(([name]) => name.toLowerCase() === key.toLowerCase()) ?? [];
  return held === undefined ? undefined : [held].flat();
}

function compare(operator: string, expected: readonly string[], held: readonly string[] | undefined): boolean {
  switch (operator) {
    case 'StringEquals':
    case 'ArnEquals':
      return held?.length === 1 && expected.includes(held[0] ?? '');
    case 'ForAllValues:StringEquals':
      // True as well for a key that is not there.
      return (held ?? []).every((value) => expected.includes(value));
    case 'Null':
      return expected[0] === String(held === undefined);
    default:
      throw new Error(`a condition compares by ${operator}, unknown here`);
  }
}

function matches(pattern: string, resource: string): boolean {
  const parts = pattern.split('*').map((part) => part.replace(/[.+?^${}()|[\]\\]/g, '\\$&'));
  return new RegExp(`^${parts.join('.*')}$`).test(resource);
}
