import { join } from 'node:path';
import type { Surroundings } from './consumer.ts';
import { configuration } from './haproxy.ts';

/** The surroundings of a consumer in this folder; nothing listens there unless it is given. */
export function surroundingsIn(folder: string, given: Partial<Surroundings> = {}): Surroundings {
  const statsSocket = join(folder, 'stats.sock');
  return {
    folder,
    configFile: join(folder, 'haproxy.cfg'),
    pidFile: join(folder, 'haproxy.pid'),
    statsSocket,
    staticConfiguration: configuration({ port: 1080, careful: false, statsSocket }),
    serverPort: 8080,
    group: 'web',
    ec2Url: 'http://127.0.0.1:1',
    region: 'us-west-2',
    environment: { PATH: process.env.PATH ?? '' },
    signal: new AbortController().signal,
    onProgress() {},
    ...given,
  };
}
