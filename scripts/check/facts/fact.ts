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
    return absentErrors.includes((error as Error).name) ? 'absent' : { unreadable: reasonOf(error as Error) };
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
export function isDenied({ name }: Error): boolean {
  return /AccessDenied|Unauthorized|NotAuthorized|AuthorizationError/.test(name);
}

/** Why a call failed, in one line. */
export function reasonOf(error: Error): string {
  if (isDenied(error)) return `no permission to look: ${textOf(error)}`;
  return isNotAws(error) ? textOf(error) : `${error.name}: ${textOf(error)}`;
}

const SHOWN_CHARACTERS = 240;

/** An error in one line, without its name. */
export function textOf(error: Error): string {
  if (isNotAws(error)) return 'the endpoint does not answer this call as AWS does';
  // When a host refuses on all its addresses, Node's error has a code and no message.
  const text = error.message || String((error as NodeJS.ErrnoException).code);
  return text.replace(/[\s\p{Cc}]+/gu, ' ').slice(0, SHOWN_CHARACTERS);
}

/** Whether the SDK could not parse an answer. An emulator that lacks a call answers with a page of HTML. */
function isNotAws({ message }: Error): boolean {
  return message.includes('Deserialization error');
}
