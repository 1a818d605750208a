/** Input that cannot be used: names the field, what it held and what was expected. Each kind of input has a subclass. */
export abstract class InvalidFieldError extends Error {
  constructor(field: string, held: unknown, expected: string) {
    super(`${field} is ${describe(held)}; expected ${expected}`);
  }
}

// Longer than any name that AWS uses, short enough for a log line.
const SHOWN_CHARACTERS = 64;

function describe(held: unknown): string {
  if (typeof held === 'string') {
    return held.length > SHOWN_CHARACTERS
      ? `${JSON.stringify(held.slice(0, SHOWN_CHARACTERS))}… (${held.length} characters)`
      : JSON.stringify(held);
  }
  if (Array.isArray(held)) return `an array of ${held.length}`;
  if (typeof held === 'object' && held !== null) return 'an object';
  return held === undefined ? 'absent' : String(held);
}
