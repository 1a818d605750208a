import { join } from 'node:path';
import { globalSection, startHaproxy as start } from '../../scripts/haproxy.ts';
import { parseStatistics } from '../../scripts/haproxy-statistics.ts';

/**
 * Starts HAProxy for a program that uses the Runtime API, with these servers in each of these backends. HAProxy never
 * connects to them.
 */
export async function startHaproxy(
  folder: string,
  { name = 'haproxy', servers, backends = ['web'] }: { name?: string; servers: string[]; backends?: string[] },
) {
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
    /** The state of each server in `show stat`, such as `web/a=DRAIN`, in the order of the configuration. */
    async states() {
      const rows = parseStatistics(await ask('show stat')) ?? [];
      const ofServers = rows.filter(({ name }) => name !== 'BACKEND');
      return ofServers.map(({ backend, name, status }) => `${backend}/${name}=${status}`);
    },
    reload,
    stop,
  };
}
