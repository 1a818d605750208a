import { InvalidFieldError } from './invalid-field-error.ts';

/** What can be set from outside: the tag that marks an instance for removal from the load balancer. */
export interface Config {
  readonly tag: { readonly key: string; readonly value: string };
}

/** An environment variable that EC2 would not take as a tag. */
export class InvalidSettingError extends InvalidFieldError {
  override readonly name = 'InvalidSettingError';
}

// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Tags.html#tag-restrictions
const MAX_KEY_CHARACTERS = 128;
const MAX_VALUE_CHARACTERS = 256;

/**
 * Reads the settings from the environment: `TAG_KEY` (1–128 characters, not starting with `aws:`; `remove_from_lb`)
 * and `TAG_VALUE` (1–256 characters; `yes`).
 * @throws InvalidSettingError naming the variable and the rule it breaks.
 */
export function readConfig(environment: Readonly<Record<string, string | undefined>>): Config {
  const key = read(environment, 'TAG_KEY', 'remove_from_lb', MAX_KEY_CHARACTERS);
  if (/^aws:/i.test(key)) {
    throw new InvalidSettingError('TAG_KEY', key, 'a key without the prefix aws:, which is reserved');
  }
  return { tag: { key, value: read(environment, 'TAG_VALUE', 'yes', MAX_VALUE_CHARACTERS) } };
}

function read(
  environment: Readonly<Record<string, string | undefined>>,
  variable: string,
  defaultText: string,
  maxCharacters: number,
): string {
  const text = environment[variable] ?? defaultText;
  // EC2 counts Unicode characters, not UTF-16 units.
  const characters = [...text].length;
  if (characters < 1 || characters > maxCharacters) {
    throw new InvalidSettingError(variable, text, `1 to ${maxCharacters} characters`);
  }
  return text;
}
