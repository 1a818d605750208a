import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { isIdle, type Servers, serversIn } from './load-balancer.ts';

/** What a consumer saw when it asked an HAProxy for its statistics. */
export interface Look {
  /** Date.now() when HAProxy had answered. */
  readonly at: number;
  readonly servers: Servers;
}

/** Opens a socket that passes everything on to HAProxy's stats socket, and records the statistics in the answers. */
export async function recordLooks(statsSocket: string, path: string) {
  const looks: Look[] = [];
  // A client ends its half of the connection after the command, and still gets the answer.
  const server = createServer({ allowHalfOpen: true }, (client) => {
    const haproxy = connect({ path: statsSocket, allowHalfOpen: true });
    let answer = '';
    haproxy.setEncoding('utf8').on('data', (chunk: string) => {
      answer += chunk;
    });
    haproxy.on('end', () => {
      // A command may ask for more than the statistics.
      const servers = serversIn(answer.slice(answer.indexOf('# pxname')).split('\n\n')[0] ?? '');
      if (servers) looks.push({ at: Date.now(), servers });
    });
    client.pipe(haproxy).pipe(client);
    client.on('error', () => haproxy.destroy());
    haproxy.on('error', () => client.destroy());
  });
  await once(server.listen(path), 'listening');
  return {
    path,
    /** In order. */
    looks: looks as readonly Look[],
    async stop(): Promise<void> {
      server.close();
      await rm(path, { force: true });
    },
  };
}

/** The latest looks in a row at one HAProxy that all found the instance as described. */
function latestLooks(looks: readonly Look[], isSo: (servers: Servers) => boolean): readonly Look[] {
  return looks.slice(looks.findLastIndex(({ servers }) => !isSo(servers)) + 1);
}

/**
 * Milliseconds for which a consumer has seen an instance idle in every HAProxy: from the first to the latest look. A
 * single look counts as 0.
 */
export function seenIdleMs(looksOfHaproxies: readonly (readonly Look[])[], instanceId: string): number {
  const times = looksOfHaproxies.map((looks) => {
    const idle = latestLooks(looks, (servers) => isIdle(servers, instanceId));
    return (idle.at(-1)?.at ?? 0) - (idle[0]?.at ?? 0);
  });
  return Math.min(...times);
}

/** More looks than a consumer needs before it ends a wait. */
const PATIENT_LOOKS = 3;

/**
 * Whether a careless consumer has had the time to end the wait of an instance, although the instance is still busy in the
 * last HAProxy.
 */
export function hasPassedCarelessLooks(looksOfHaproxies: readonly (readonly Look[])[], instanceId: string): boolean {
  return looksOfHaproxies.every((looks, n) => {
    const isLast = n === looksOfHaproxies.length - 1;
    const isSo = (servers: Servers) => (isLast ? !servers.inPlace.has(instanceId) : isIdle(servers, instanceId));
    return latestLooks(looks, isSo).length >= PATIENT_LOOKS;
  });
}
