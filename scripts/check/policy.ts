/** A statement of a policy of IAM or of a resource, as far as the check understands the language of policies. */
interface Statement {
  readonly Effect?: string;
  readonly Principal?: string | Readonly<Record<string, string | readonly string[]>>;
  readonly Action?: string | readonly string[];
  readonly Condition?: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
}

/** A call to judge. */
export interface Call {
  readonly action: string;
  /** Every name by which a policy can mean the caller. */
  readonly principals: readonly string[];
  /** The condition keys whose values are known, in lower case. */
  readonly context: Readonly<Record<string, string>>;
}

/** `silent`: no statement is about the call. `unclear`: the check cannot judge a condition or another element. */
export type Decision = 'allowed' | 'denied' | 'silent' | 'unclear grant' | 'unclear denial';

/**
 * What one policy says about a call.
 * @param text undefined when the resource has no policy.
 */
export function decide(text: string | undefined, call: Call): Decision {
  const { Statement = [] }: { Statement?: Statement | readonly Statement[] } = JSON.parse(text ?? '{}');
  return combine(
    [Statement].flat().flatMap((statement) => {
      const answer = applies(statement, call);
      if (answer === false) return [];
      if (statement.Effect === 'Allow') return answer === true ? 'allowed' : 'unclear grant';
      return answer === true ? 'denied' : 'unclear denial';
    }),
  );
}

/** What several policies say together, when a grant in one of them suffices. */
export function combine(decisions: readonly Decision[]): Decision {
  const order = ['denied', 'unclear denial', 'allowed', 'unclear grant'] as const;
  return order.find((decision) => decisions.includes(decision)) ?? 'silent';
}

export function isUnclear(decision: Decision): boolean {
  return decision.startsWith('unclear');
}

type Answer = boolean | 'unclear';

function applies({ Action, Principal, Condition = {} }: Statement, { action, principals, context }: Call): Answer {
  const answers: Answer[] = [
    // Without these elements, the statement has NotAction or NotPrincipal.
    Action === undefined ? 'unclear' : [Action].flat().some((pattern) => matches(pattern, action)),
    Principal === undefined
      ? 'unclear'
      : Object.values(typeof Principal === 'string' ? [Principal] : Principal)
          .flat()
          .some((name) => name === '*' || principals.includes(name)),
    ...Object.entries(Condition).flatMap(([operator, keys]) =>
      Object.entries(keys).map(([key, values]) => holds(operator, [values].flat(), context[key.toLowerCase()])),
    ),
  ];
  if (answers.includes(false)) return false;
  return answers.includes('unclear') ? 'unclear' : true;
}

function holds(operator: string, values: readonly unknown[], actual: string | undefined): Answer {
  const [, type, not, comparison] = /^(String|Arn|Bool)(Not)?(Equals|Like)?(?:IfExists)?$/.exec(operator) ?? [];
  // A policy may hold a number or a Boolean instead of a text.
  const texts = values.map(String);
  const hasVariable = texts.some((value) => value.includes('${'));
  if (type === undefined || actual === undefined || hasVariable) return 'unclear';
  // ArnEquals has wildcards too.
  const isPattern = type === 'Arn' || comparison === 'Like';
  const isFound = texts.some((value) => (isPattern ? matches(value, actual) : value === actual));
  return isFound !== (not !== undefined);
}

/** Names of actions are not case-sensitive, and values that differ in case only do not occur here. */
function matches(pattern: string, text: string): boolean {
  const source = pattern
    .replace(/[.+^${}()|[\]\\]/g, '\\$&')
    .replaceAll('*', '.*')
    .replaceAll('?', '.');
  return new RegExp(`^${source}$`, 'i').test(text);
}
