import { connect } from 'node:net';
import { text } from 'node:stream/consumers';

/** A server as HAProxy may know an instance: by its id as the server's name, or by its private address. */
export interface Server {
  readonly instanceId: string;
  readonly address: string | undefined;
}

// Column names: https://docs.haproxy.org/2.6/management.html#9.1
const NAME = 'svname';
const ADDRESS = 'addr';
const STATUS = 'status';

const ANSWER_TIMEOUT_MS = 5000;

/**
 * Whether an HAProxy still sends new requests to a server: it has it in a backend, and neither drains it nor has it in
 * maintenance.
 * @param source the path of a stats socket (then `show stat` is asked), or the URL of its statistics as CSV, which ends
 * in `;csv`.
 * @throws Error that names the source, when that does not answer with HAProxy's statistics.
 */
export async function isServed(source: string, server: Server, signal?: AbortSignal): Promise<boolean> {
  let csv: string;
  try {
    csv = /^https?:/.test(source) ? await fromPage(source, signal) : await fromSocket(source, signal);
  } catch (error) {
    throw new Error(`--haproxy ${source}: ${reasonOf(error)}`, { cause: error });
  }
  const [header = '', ...rows] = csv.split('\n').map((line) => line.trim());
  const columns = header.replace(/^# /, '').split(',');
  const [name, address, status] = [NAME, ADDRESS, STATUS].map((column) => columns.indexOf(column));
  if (name === undefined || name < 0 || status === undefined || status < 0) {
    throw new Error(
      `--haproxy ${source}: answers with ${JSON.stringify(header.slice(0, 40))}; expected HAProxy's statistics`,
    );
  }
  return rows
    .map((row) => row.split(','))
    .filter((cells) => cells[name] === server.instanceId || isAt(cells[address ?? -1], server.address))
    .some((cells) => !/^(DRAIN|MAINT|NOLB)/.test(cells[status] ?? ''));
}

function isAt(cell: string | undefined, address: string | undefined): boolean {
  return address !== undefined && cell !== undefined && cell.replace(/:\d+$/, '') === address;
}

async function fromPage(url: string, signal?: AbortSignal): Promise<string> {
  const timeout = AbortSignal.timeout(ANSWER_TIMEOUT_MS);
  const response = await fetch(url, { signal: signal ? AbortSignal.any([signal, timeout]) : timeout });
  if (!response.ok) throw new Error(`HTTP status ${response.status}`);
  return response.text();
}

async function fromSocket(path: string, signal?: AbortSignal): Promise<string> {
  const socket = connect({ path, ...(signal && { signal }) }).end('show stat\n');
  socket.setTimeout(ANSWER_TIMEOUT_MS, () => socket.destroy(new Error('no answer')));
  return text(socket);
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  // What fetch says itself is only that it failed.
  const cause = error.cause instanceof Error ? error.cause : error;
  return cause.message;
}
