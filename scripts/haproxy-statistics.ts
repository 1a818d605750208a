import { unescape as percentDecoded } from 'node:querystring';
import { askSocket } from './haproxy.ts';

/** An instance behind HAProxy. HAProxy knows the instance by its id (the server's name) or by its private address. */
export interface Server {
  readonly instanceId: string;
  readonly address: string | undefined;
}

type StatisticsRow = NonNullable<ReturnType<typeof parseStatistics>>[number];

/**
 * Reads HAProxy's statistics in CSV format; https://docs.haproxy.org/2.6/management.html#9.1
 * @returns undefined when the text is something else.
 */
export function parseStatistics(csv: string) {
  const [header = '', ...lines] = csv.trim().split('\n');
  const columns = header.replace(/^# /, '').trim().split(',');
  if (!['pxname', 'svname', 'status'].every((column) => columns.includes(column))) return undefined;
  return lines.map((line) => {
    const cells = line.split(',');
    const cell = (column: string) => cells[columns.indexOf(column)] ?? '';
    // A server, or FRONTEND or BACKEND. The address has a port, and is empty when HAProxy does not show addresses.
    return {
      backend: cell('pxname'),
      name: cell('svname'),
      address: cell('addr'),
      status: cell('status'),
      isBusy: Number(cell('scur')) > 0 || Number(cell('qcur')) > 0,
    };
  });
}

/** Whether HAProxy sends no new requests to a server: the server is drained, in maintenance, or out of balancing. */
export function isOut({ status }: StatisticsRow): boolean {
  return /^(DRAIN|MAINT|NOLB)/.test(status);
}

/**
 * Whether an HAProxy still sends new requests to a server: at least one backend has the server, and the server is not out.
 * @param source the path of a stats socket, or the URL of the statistics as CSV, which ends in `;csv`.
 * @param environment has the user and the password for a URL without them.
 * @throws Error that names the source, without a password, when the source does not answer with HAProxy's statistics.
 */
export async function isServed(
  source: string,
  server: Server,
  signal?: AbortSignal,
  environment: NodeJS.ProcessEnv = process.env,
): Promise<boolean> {
  try {
    if (mayBeMistypedUrl(source)) throw new Error('expected a socket path, or a URL with http:// or https://');
    const csv = isUrl(source)
      ? await fetchPage(source, environment, signal)
      : await askSocket(source, 'show stat', signal);
    const rows = parseStatistics(csv);
    // No part of the answer is shown, because the answer may be another page with secrets.
    if (!rows) throw new Error("the answer is not CSV; expected HAProxy's statistics (a URL ends in ;csv)");
    return rows.some(
      (row) => !isOut(row) && (row.name === server.instanceId || row.address.replace(/:\d+$/, '') === server.address),
    );
  } catch (error) {
    throw new Error(`--haproxy ${withoutCredentials(source)}: ${reasonOf(error)}`);
  }
}

/** Removes user and password from a source, also when the URL is malformed. */
export function withoutCredentials(source: string): string {
  if (isUrl(source)) return source.replace(/:.*@/, '://');
  return mayBeMistypedUrl(source) ? source.replace(/.*@/, '…@') : source;
}

function mayBeMistypedUrl(source: string): boolean {
  return !isUrl(source) && /^[^/.].*@/.test(source);
}

function isUrl(source: string): boolean {
  return /^https?:/i.test(source);
}

const ANSWER_TIMEOUT_MS = 5000;

async function fetchPage(source: string, environment: NodeJS.ProcessEnv, signal?: AbortSignal): Promise<string> {
  const url = new URL(source);
  const { HAPROXY_STATS_USER, HAPROXY_STATS_PASSWORD } = environment;
  const [user, password] =
    url.username || url.password
      ? [percentDecoded(url.username), percentDecoded(url.password)]
      : [HAPROXY_STATS_USER, HAPROXY_STATS_PASSWORD];
  // fetch refuses a URL with user or password.
  url.username = '';
  url.password = '';
  const headers = new Headers();
  if (user || password) {
    headers.set('authorization', `Basic ${Buffer.from(`${user ?? ''}:${password ?? ''}`).toString('base64')}`);
  }
  const timeout = AbortSignal.timeout(ANSWER_TIMEOUT_MS);
  const response = await fetch(url, {
    headers,
    // A redirect could lead the request, or its password, to another host.
    redirect: 'manual',
    signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
  });
  if (response.ok) return await response.text();
  await response.body?.cancel();
  const expected =
    response.status === 401
      ? 'user and password in the URL (percent-encoded), or in HAPROXY_STATS_USER and HAPROXY_STATS_PASSWORD'
      : '200';
  throw new Error(`HTTP status ${response.status}; expected ${expected}`);
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  // The message of fetch says only that the call failed; the cause has the reason.
  return error.cause instanceof Error ? error.cause.message : error.message;
}
