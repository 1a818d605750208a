import { once } from 'node:events';
import { createServer } from 'node:net';

// Systems give higher ports to outgoing connections. Below them, the port of a killed server stays free for its return.
const LOWEST = 12_000;
const HIGHEST = 32_000;

/** Finds a TCP port on 127.0.0.1 on which no process listens. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = LOWEST + Math.floor(Math.random() * (HIGHEST - LOWEST));
    const server = createServer();
    try {
      await once(server.listen(port, '127.0.0.1'), 'listening');
      return port;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
    } finally {
      server.close();
    }
  }
}
