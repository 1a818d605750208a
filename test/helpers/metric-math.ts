/** A metric or a result: one value a period, `undefined` where there is none. */
export type Series = readonly (number | undefined)[];

type Value = number | Series;

type Operator = '+' | '-' | '/' | '<' | '>' | '>=' | '==';

const OPERATORS: Readonly<Record<Operator, (left: number, right: number) => number>> = {
  '+': (left, right) => left + right,
  '-': (left, right) => left - right,
  '/': (left, right) => left / right,
  '<': (left, right) => Number(left < right),
  '>': (left, right) => Number(left > right),
  '>=': (left, right) => Number(left >= right),
  '==': (left, right) => Number(left === right),
};

// What binds more tightly comes last.
const LEVELS: readonly (readonly Operator[])[] = [['<', '>', '>=', '=='], ['+', '-'], ['/']];

/**
 * The part of CloudWatch's metric math that the template uses.
 * https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html
 * @param series what the identifiers in the expression stand for.
 * @param period of all of them, in seconds.
 * @throws Error for what is not covered.
 */
export function evaluate(expression: string, series: Readonly<Record<string, Series>>, period: number): Series {
  const tokens = expression.match(/\w+|==|>=|[^\s\w]/g) ?? [];

  function take(...expected: string[]): string | undefined {
    return expected.includes(tokens[0] ?? '') ? tokens.shift() : undefined;
  }

  function demand(text: string): void {
    if (!take(text)) throw new Error(`${expression}: ${text} expected before ${tokens.join(' ')}`);
  }

  function operation(level: number): Value {
    const operators = LEVELS[level];
    if (!operators) return operand();
    let left = operation(level + 1);
    for (let operator = take(...operators); operator; operator = take(...operators)) {
      if (!isSeries(left)) throw new Error(`${expression}: a number before ${operator} is unknown here`);
      left = combine(OPERATORS[operator as Operator], left, operation(level + 1));
    }
    return left;
  }

  function operand(): Value {
    const token = tokens.shift() ?? '';
    if (token === '(') {
      const value = operation(0);
      demand(')');
      return value;
    }
    if (/^\d+$/.test(token)) return Number(token);
    if (tokens[0] === '(') return call(token);
    const named = series[token];
    if (!named) throw new Error(`${expression}: ${token} is unknown here`);
    return named;
  }

  function call(name: string): Value {
    const values: Value[] = [];
    demand('(');
    do values.push(operation(0));
    while (take(','));
    demand(')');
    const [first, second, third] = values;
    if (name === 'DIFF' && isSeries(first)) return differences(first, (value, before) => value - before);
    if (name === 'DIFF_TIME' && isSeries(first)) return differences(first, (_, __, periods) => periods * period);
    if (name === 'IF' && isSeries(first) && second !== undefined && third !== undefined) {
      return choose(first, second, third);
    }
    throw new Error(`${expression}: ${name} of these is unknown here`);
  }

  const result = operation(0);
  if (tokens.length > 0) throw new Error(`${expression}: ${tokens.join(' ')} is unknown here`);
  if (!isSeries(result)) throw new Error(`${expression} is no time series, which an alarm needs`);
  return result;
}

function isSeries(value: Value | undefined): value is Series {
  return Array.isArray(value);
}

// Beside a value of the other series, one that is missing counts as 0; a scalar makes no value where there is none.
function combine(operator: (left: number, right: number) => number, left: Series, right: Value): Series {
  return left.map((value, index) => {
    const other = isSeries(right) ? right[index] : right;
    if (value === undefined && (other === undefined || !isSeries(right))) return undefined;
    return operator(value ?? 0, other ?? 0);
  });
}

// From each value to the one before it, however far that is; the first has none.
function differences(series: Series, of: (value: number, before: number, periods: number) => number): Series {
  let last: { value: number; index: number } | undefined;
  return series.map((value, index) => {
    if (value === undefined) return undefined;
    const before = last;
    last = { value, index };
    return before && of(value, before.value, index - before.index);
  });
}

function choose(condition: Series, yes: Value, no: Value): Series {
  const at = (value: Value, index: number) => (isSeries(value) ? value[index] : value);
  return condition.map((held, index) => {
    if (held === undefined) return undefined;
    return held === 0 ? at(no, index) : (at(yes, index) ?? 0);
  });
}
