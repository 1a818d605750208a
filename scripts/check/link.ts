/** One link of the chain from the hook to the tag, as the check found it. */
export interface Link {
  readonly link: string;
  /** The Auto Scaling group that it belongs to; null for what all groups share. */
  readonly group: string | null;
  /** `unknown`: the link could not be examined. */
  readonly state: 'ok' | 'broken' | 'unknown';
  /** The finding. A broken link also names the effect on the next scale-in, an unknown one the reason. */
  readonly found: string;
  /** How to fix a broken link: a shell command, or a sentence if no command is safe. Null for every other link. */
  readonly mend: string | null;
}

/** The states that a link can be found in. */
export interface Findings {
  ok(found: string): Link;
  broken(found: string, mend: string): Link;
  unknown(reason: string): Link;
}

export function findings(link: string, group: string | null = null): Findings {
  return {
    ok: (found) => ({ link, group, state: 'ok', found, mend: null }),
    broken: (found, mend) => ({ link, group, state: 'broken', found, mend }),
    unknown: (found) => ({ link, group, state: 'unknown', found, mend: null }),
  };
}

/** Runs a check. A denied or unsupported call makes the link `unknown`. */
export async function examine(
  link: string,
  group: string | null,
  look: (as: Findings) => Promise<readonly Link[] | Link>,
): Promise<readonly Link[]> {
  const as = findings(link, group);
  try {
    return [await look(as)].flat();
  } catch (error) {
    return [as.unknown(reasonOf(error))];
  }
}

/** Whether AWS refuses the call to whoever makes it. Every service has a name of its own for that. */
export function isDenied(error: unknown): boolean {
  return /AccessDenied|Unauthorized|NotAuthorized|AuthorizationError/.test(nameOf(error));
}

/** Whether an error of AWS has one of these names. */
export function isNamed(error: unknown, ...names: readonly string[]): boolean {
  return names.includes(nameOf(error));
}

const SHOWN_CHARACTERS = 240;

/** Why a call failed, in one line. */
export function reasonOf(error: unknown): string {
  const text = textOf(error);
  if (isDenied(error)) return `no permission to look: ${text}`;
  return isUnreadable(error) ? text : `${nameOf(error)}: ${text}`;
}

/** An error in one line, without its name. */
export function textOf(error: unknown): string {
  if (isUnreadable(error)) return 'the endpoint does not answer this call as AWS does';
  const text = error instanceof Error ? error.message || causeOf(error) : String(error);
  return text.replace(/\s+/g, ' ').slice(0, SHOWN_CHARACTERS);
}

/** Whether the SDK could not read an answer. An emulator that lacks a call answers with a page of HTML. */
function isUnreadable(error: unknown): boolean {
  return error instanceof Error && error.message.includes('Deserialization error');
}

function nameOf(error: unknown): string {
  return error instanceof Error ? error.name : typeof error;
}

/** Node's error for a host that refuses on all its addresses has a code and no message. */
function causeOf(error: Error): string {
  return 'code' in error ? String(error.code) : 'no message';
}
