import { join } from 'node:path';
import { globalSection, startHaproxy as start } from '../../scripts/haproxy.ts';
import { parseStatistics } from '../../scripts/haproxy-statistics.ts';

/** A running HAProxy with a stats socket, for a program that uses the Runtime API. */
export interface SocketHaproxy {
  readonly socket: string;
  ask(command: string): Promise<string>;
  /** The state of each server in `show stat`, such as `web/a=DRAIN`, in the order of the configuration. */
  states(): Promise<string[]>;
  reload(): Promise<void>;
  stop(): Promise<void>;
}

/** Starts HAProxy with these servers in each of these backends. HAProxy never connects to them. */
export async function startHaproxy(
  folder: string,
  { name = 'haproxy', servers, backends = ['web'] }: { name?: string; servers: string[]; backends?: string[] },
): Promise<SocketHaproxy> {
  const own = join(folder, name);
  const sections = backends.map((backend) => [
    `backend ${backend}`,
    ...servers.map((server, n) => `    server ${server} 127.0.0.1:${9000 + n}`),
  ]);
  const { statsSocket, ask, reload, stop } = await start(
    own,
    `${globalSection(own)}
defaults
    mode http
    timeout connect 1s
    timeout client 1s
    timeout server 1s
${sections.flat().join('\n')}
`,
  );
  return {
    socket: statsSocket,
    ask,
    async states() {
      const rows = parseStatistics(await ask('show stat')) ?? [];
      const ofServers = rows.filter(({ name }) => name !== 'BACKEND');
      return ofServers.map(({ backend, name, status }) => `${backend}/${name}=${status}`);
    },
    reload,
    stop,
  };
}
