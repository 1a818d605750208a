// A server behind the load balancer: `node fleet-process.ts INSTANCE-ID ADDRESS PORT`. Each answer comes after the number
// of milliseconds in the request, and repeats the request with the name of this server. An answer to "stay" begins with the
// name, and never ends.
import { createServer } from 'node:http';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';

const [, , instanceId = '', address = '', port = ''] = process.argv;

const server = createServer((request, response) => {
  const url = new URL(request.url ?? '/', 'http://backend');
  if (url.searchParams.has('stay')) {
    response.write(instanceId);
    // More often than HAProxy gives up on a silent server.
    const alive = setInterval(() => response.write('.'), 1000);
    response.on('close', () => clearInterval(alive));
    return;
  }
  text(request)
    .then(async (body) => {
      await sleep(Number(url.searchParams.get('ms')));
      response.end(`${url.searchParams.get('number')} ${body} ${instanceId}`);
    })
    // The client has gone away.
    .catch(() => response.destroy());
});
// Longer than HAProxy keeps an idle connection, so that HAProxy always closes first.
server.keepAliveTimeout = 120_000;
server.listen(Number(port), address, () => process.send?.('ready'));
// The parent has ended.
process.on('disconnect', () => process.exit());
