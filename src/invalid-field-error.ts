/** The names by which an operator filters the log for input that cannot be used. */
export type InvalidFieldErrorName =
  | 'InvalidSettingError'
  | 'InvalidEventError'
  | 'InvalidArnError'
  | 'InvalidMessageError'
  | 'ForeignAccountError'
  | 'StaleMessageError';

/** Input that cannot be used: the message names the field, what it held and what was expected. */
export class InvalidFieldError extends Error {
  override readonly name: InvalidFieldErrorName;

  constructor(name: InvalidFieldErrorName, field: string, held: unknown, expected: string) {
    super(`${field} is ${describe(held)}; expected ${expected}`);
    this.name = name;
  }
}

// Longer than any name that AWS uses, short enough for a log line.
const SHOWN_CHARACTERS = 64;

// Of a text that has JSON in it, enough to recognise it; what follows {"LifecycleActionToken":" is not shown.
const SHOWN_CHARACTERS_OF_JSON = 24;

function describe(held: unknown): string {
  if (typeof held === 'string') {
    const shown = held.slice(0, held.includes('"') ? SHOWN_CHARACTERS_OF_JSON : SHOWN_CHARACTERS);
    return JSON.stringify(shown) + (shown === held ? '' : `… (${held.length} characters)`);
  }
  if (Array.isArray(held)) return `an array of ${held.length}`;
  if (typeof held === 'object' && held !== null) return 'an object';
  return held === undefined ? 'absent' : String(held);
}
