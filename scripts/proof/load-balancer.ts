import { globalSection, startHaproxy } from '../haproxy.ts';
import { isOut, parseStatistics } from '../haproxy-statistics.ts';
import { KEEP_ALIVE_MS } from './plan.ts';

/** A server line of the configuration. */
export interface ServerLine {
  readonly instanceId: string;
  readonly address: string;
  readonly port: number;
}

export interface LoadBalancerOptions {
  /** For HAProxy's files. */
  readonly folder: string;
  /** The port that clients connect to. */
  readonly port: number;
  /** `careful`: HAProxy has health checks, retries and redispatch against servers that disappear. */
  readonly mode: 'plain' | 'careful';
  /** The whole environment. */
  readonly environment: NodeJS.ProcessEnv;
}

/** What an HAProxy knows about its servers, by their names. */
export interface Servers {
  /** Get new requests. */
  readonly inPlace: ReadonlySet<string>;
  /** Have a session or a queued request. */
  readonly busy: ReadonlySet<string>;
}

export type LoadBalancer = Awaited<ReturnType<typeof startLoadBalancer>>;

/**
 * Starts HAProxy with these servers.
 * @throws Error with HAProxy's own words when HAProxy refuses the configuration.
 */
export async function startLoadBalancer(options: LoadBalancerOptions, servers: readonly ServerLine[]) {
  const { folder, port, environment } = options;
  const staticConfiguration = configuration(options);
  const haproxy = await startHaproxy(folder, staticConfiguration + serverLines(servers), environment);
  const look = async () => serversIn(await haproxy.ask('show stat').catch(() => ''));
  return {
    ...haproxy,
    port,
    staticConfiguration,
    /** The servers of the current worker; undefined when no worker answers. */
    servers: look,
    /** The servers to which the current worker sends new requests; undefined when no worker answers. */
    serversInPlace: async () => (await look())?.inPlace,
  };
}

/** @returns undefined when the text is something else than HAProxy's statistics. */
export function serversIn(answer: string): Servers | undefined {
  const rows = parseStatistics(answer)?.filter(({ name }) => name.startsWith('i-'));
  if (rows === undefined) return undefined;
  return {
    inPlace: new Set(rows.filter((row) => !isOut(row)).map(({ name }) => name)),
    busy: new Set(rows.filter(({ isBusy }) => isBusy).map(({ name }) => name)),
  };
}

/** Whether an HAProxy sends no new requests to an instance, and has neither a session nor a queued request for it. */
export function isIdle({ inPlace, busy }: Servers, instanceId: string): boolean {
  return !inPlace.has(instanceId) && !busy.has(instanceId);
}

/** The configuration without the server lines, which belong at its end. */
export function configuration({ folder, port, mode }: Omit<LoadBalancerOptions, 'environment'>): string {
  const careful = mode === 'careful';
  return `${globalSection(folder)}    # Ends old workers even if their clients stay connected.
    hard-stop-after 10s

defaults
    mode http
    timeout connect 1s
    timeout client 10s
    timeout server 10s
    timeout http-keep-alive ${KEEP_ALIVE_MS}ms
    # Without this option, a reload closes idle client connections at once, and resets requests that are on their way.
    # With it, HAProxy closes each of these connections with the answer to the next request.
    option idle-close-on-response
${careful ? CAREFUL_DEFAULTS : ''}
frontend web
    bind 127.0.0.1:${port}
    default_backend web

backend web
    balance roundrobin
${careful ? CAREFUL_BACKEND : ''}`;
}

const CAREFUL_DEFAULTS = `    option redispatch 1
    retries 3
    retry-on all-retryable-errors
    option httpchk GET /
    default-server check inter 250ms fall 2 rise 2 observe layer4 error-limit 1 on-error mark-down
`;

const CAREFUL_BACKEND = `    # The server may have carried out the request.
    http-request disable-l7-retry if METH_POST
`;

export function serverLines(servers: readonly ServerLine[]): string {
  return servers.map(({ instanceId, address, port }) => `    server ${instanceId} ${address}:${port}\n`).join('');
}
