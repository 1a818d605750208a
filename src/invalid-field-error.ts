import { keepErrorType } from './error-type.ts';

/** An operator searches the log for these names. */
export type InvalidFieldErrorName =
  | 'InvalidSettingError'
  | 'InvalidEventError'
  | 'InvalidArnError'
  | 'InvalidMessageError'
  | 'ForeignAccountError'
  | 'StaleMessageError';

/** Invalid input. The error's message names the field, its actual value and the expected value. */
export class InvalidFieldError extends Error {
  override readonly name: InvalidFieldErrorName;

  constructor(name: InvalidFieldErrorName, field: string, actual: unknown, expected: string) {
    super(`${field} is ${describe(actual)}; expected ${expected}`);
    this.name = name;
    keepErrorType(this);
  }
}

// Longer than any name that AWS uses, short enough for a log line.
const SHOWN_CHARACTERS = 64;

// For text that contains JSON: enough to recognise the text, too short to reach the lifecycle action token.
const SHOWN_CHARACTERS_OF_JSON = 24;

function describe(actual: unknown): string {
  if (typeof actual === 'string') {
    const shown = actual.slice(0, actual.includes('"') ? SHOWN_CHARACTERS_OF_JSON : SHOWN_CHARACTERS);
    return quoted(shown) + (shown === actual ? '' : `… (${actual.length} characters)`);
  }
  if (Array.isArray(actual)) return `an array of ${actual.length}`;
  if (typeof actual === 'object' && actual !== null) return 'an object';
  if (typeof actual === 'number') return `the number ${actual}`;
  return actual === undefined ? 'absent' : String(actual);
}

/** JSON leaves DEL and the control characters from U+0080 as they are, but terminals obey them. */
function quoted(text: string): string {
  return JSON.stringify(text).replace(/\p{Cc}/gu, (character) => `\\u00${character.charCodeAt(0).toString(16)}`);
}
