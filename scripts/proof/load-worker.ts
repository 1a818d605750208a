// The load generator, with an event loop of its own. It sends each request once, at the planned time, and never waits for
// earlier answers. Its messages are Date.now() when the load begins, and at the end the result of every request.
import { Agent, type ClientRequest, type IncomingMessage, request } from 'node:http';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';
import { KEEP_ALIVE_MS } from './plan.ts';
import { type LoadPlan, type PlannedRequest, plannedRequests, type Result } from './requests.ts';

/** The requests to send, and the ports of 127.0.0.1 that get the requests in turns. */
export interface LoadOrder {
  readonly plan: LoadPlan;
  readonly ports: readonly number[];
  /** Milliseconds after which a request without an answer is lost; 5 s by default. */
  readonly timeoutMs?: number;
}

// Closes an idle connection before HAProxy does, so that chance does not decide which side closes it.
const kept = new Agent({ keepAlive: true, timeout: KEEP_ALIVE_MS / 2 });

/** Sends one request, and returns the server that answered, or the cause of the loss. */
async function send(
  { number, method, keptAlive, answerMs }: PlannedRequest,
  port: number,
  timeoutMs: number,
): Promise<Pick<Result, 'server' | 'cause'>> {
  const timeout = AbortSignal.timeout(timeoutMs);
  const sending = request({
    host: '127.0.0.1',
    port,
    method,
    path: `/?number=${number}&ms=${answerMs}`,
    agent: keptAlive ? kept : false,
    timeout: timeoutMs,
    signal: timeout,
  });
  const body = method === 'POST' ? `order-${number}` : '';
  try {
    const response = await responseTo(sending.end(body));
    const content = await text(response);
    if (response.statusCode !== 200) return { cause: `${response.statusCode} ${response.statusMessage}` };
    const start = `${number} ${body} `;
    const server = content.slice(start.length);
    return content.startsWith(start) && /^i-\w+$/.test(server) ? { server } : { cause: 'wrong answer' };
  } catch (error) {
    if (timeout.aborted) return { cause: 'no answer in time' };
    const { code, message } = error as NodeJS.ErrnoException;
    if (code !== 'ECONNRESET' && code !== 'EPIPE') return { cause: code ?? message };
    // A reload can reset a connection that is used again, so that is a cause of its own.
    return { cause: sending.reusedSocket ? 'reset on a reused connection' : 'reset' };
  }
}

function responseTo(sending: ClientRequest): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => sending.once('response', resolve).on('error', reject));
}

async function run({ plan, ports, timeoutMs = 5000 }: LoadOrder): Promise<void> {
  const started = performance.now();
  parentPort?.postMessage(Date.now());
  const sent: Promise<Result>[] = [];
  for (const planned of plannedRequests(plan)) {
    // Waits even when the load is late, so that this process can read answers.
    await sleep(Math.max(0, planned.at - (performance.now() - started)));
    sent.push(resultOf(planned));
  }
  parentPort?.postMessage(await Promise.all(sent));

  async function resultOf(planned: PlannedRequest): Promise<Result> {
    const end = await send(planned, ports[planned.number % ports.length] ?? 0, timeoutMs);
    return { at: planned.at, ms: performance.now() - started - planned.at, ...end };
  }
}

await run(workerData);
