/** A fact about AWS: its value, `absent` when AWS says that it does not exist, or the reason why it could not be read. */
export type Fact<T> = T | 'absent' | Unreadable;

export interface Unreadable {
  readonly unreadable: string;
}

/**
 * Reads a fact. A call that is denied, not supported or that fails makes the fact unreadable.
 * @param absentErrors names of the errors by which AWS says that it does not exist.
 */
export async function read<T>(call: () => Promise<Fact<T>>, ...absentErrors: readonly string[]): Promise<Fact<T>> {
  try {
    return await call();
  } catch (error) {
    return isNamed(error, ...absentErrors) ? 'absent' : { unreadable: reasonOf(error) };
  }
}

/** The items of all pages. */
export async function collect<Page, Item>(
  pages: AsyncIterable<Page>,
  itemsOf: (page: Page) => readonly Item[] | undefined,
): Promise<readonly Item[]> {
  const items: Item[] = [];
  for await (const page of pages) items.push(...(itemsOf(page) ?? []));
  return items;
}

/** Whether a fact has a value. */
export function isKnown<T extends object>(fact: Fact<T>): fact is T {
  return typeof fact === 'object' && !('unreadable' in fact);
}

/** Whether AWS denies the call to the caller. Each service has its own name for that. */
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
  return isNotAws(error) ? text : `${nameOf(error)}: ${text}`;
}

/** An error in one line, without its name. */
export function textOf(error: unknown): string {
  if (isNotAws(error)) return 'the endpoint does not answer this call as AWS does';
  const text = error instanceof Error ? error.message || codeOf(error) : String(error);
  return text.replace(/[\s\p{Cc}]+/gu, ' ').slice(0, SHOWN_CHARACTERS);
}

/** Whether the SDK could not parse an answer. An emulator that lacks a call answers with a page of HTML. */
function isNotAws(error: unknown): boolean {
  return error instanceof Error && error.message.includes('Deserialization error');
}

function nameOf(error: unknown): string {
  return error instanceof Error ? error.name : typeof error;
}

/** When a host refuses on all its addresses, Node's error has a code and no message. */
function codeOf(error: Error): string {
  return 'code' in error ? String(error.code) : 'no message';
}
