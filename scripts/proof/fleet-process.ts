// A server behind the load balancer, in a process of its own: `node fleet-process.ts INSTANCE-ID ADDRESS PORT`. It answers
// after as many milliseconds as it is asked to, with what the request held and its own name.
import { createServer } from 'node:http';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';

const [, , instanceId = '', address = '', port = ''] = process.argv;

const server = createServer((request, response) => {
  const url = new URL(request.url ?? '/', 'http://backend');
  text(request)
    .then(async (body) => {
      await sleep(Number(url.searchParams.get('ms')));
      response.end(`${url.searchParams.get('number')} ${body} ${instanceId}`);
    })
    // A client that went away wants no answer.
    .catch(() => response.destroy());
});
// Longer than HAProxy keeps an idle connection, so that it is never this side that closes one.
server.keepAliveTimeout = 120_000;
server.listen(Number(port), address, () => process.send?.('ready'));
// Nobody is left to stop it.
process.on('disconnect', () => process.exit());
