import { InvalidFieldError } from './invalid-field-error.ts';

export interface Settings {
  /** The tag that marks an instance for removal from the load balancer. */
  readonly tag: { readonly key: string; readonly value: string };
  /** The age in milliseconds at which a message becomes too old to be acted on. `Infinity` without a limit. */
  readonly maxAgeMs: number;
}

/** The tag that the function sets when its settings name no other tag. */
export const DEFAULT_TAG = { key: 'remove_from_lb', value: 'yes' } as const;

export const SETTING_NAMES = ['TAG_KEY', 'TAG_VALUE', 'HEARTBEAT_TIMEOUT'] as const;

type SettingName = (typeof SETTING_NAMES)[number];
type Environment = Readonly<Partial<Record<SettingName, string | undefined>>>;

// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Tags.html#tag-restrictions
const MAX_KEY_CHARACTERS = 128;
const MAX_VALUE_CHARACTERS = 256;

// Auto Scaling accepts a heartbeat timeout from 30 s, and keeps an instance waiting for at most 48 hours.
// https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_PutLifecycleHook.html
const MIN_HEARTBEAT_SECONDS = 30;
const MAX_HEARTBEAT_SECONDS = 172_800;

/**
 * Reads the settings from the environment. The defaults are `DEFAULT_TAG` and no limit of age.
 * @throws InvalidFieldError named InvalidSettingError, with the variable and the rule that the variable breaks.
 */
export function readSettings(environment: Environment): Settings {
  const key = readText(environment, 'TAG_KEY', DEFAULT_TAG.key, MAX_KEY_CHARACTERS);
  if (/^aws:/i.test(key)) {
    throw new InvalidFieldError(
      'InvalidSettingError',
      'TAG_KEY',
      key,
      'a key without the prefix aws:, which is reserved',
    );
  }
  const value = readText(environment, 'TAG_VALUE', DEFAULT_TAG.value, MAX_VALUE_CHARACTERS);
  return { tag: { key, value }, maxAgeMs: readMaxAge(environment.HEARTBEAT_TIMEOUT) };
}

function readText(environment: Environment, variable: SettingName, defaultText: string, maxCharacters: number): string {
  const text = environment[variable] ?? defaultText;
  // EC2 counts Unicode characters, not UTF-16 units.
  const characters = [...text].length;
  if (characters < 1 || characters > maxCharacters) {
    throw new InvalidFieldError('InvalidSettingError', variable, text, `1 to ${maxCharacters} characters`);
  }
  return text;
}

function readMaxAge(text: string | undefined): number {
  if (text === undefined) return Number.POSITIVE_INFINITY;
  const seconds = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (seconds >= MIN_HEARTBEAT_SECONDS && seconds <= MAX_HEARTBEAT_SECONDS) return seconds * 1000;
  const expected = `${MIN_HEARTBEAT_SECONDS} to ${MAX_HEARTBEAT_SECONDS} seconds, in digits`;
  throw new InvalidFieldError('InvalidSettingError', 'HEARTBEAT_TIMEOUT', text, expected);
}
