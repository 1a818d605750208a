// The load generator, a process of its own. It sends each request once, at the planned time, and never waits for earlier
// answers. The parent sends the order, gets the counts while the load runs, and gets every result at the end.
import { Agent, type ClientRequest, type IncomingMessage, request } from 'node:http';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { KEEP_ALIVE_MS } from './plan.ts';
import { CAUSES, type LoadPlan, type PlannedRequest, plannedRequests, type Result } from './requests.ts';

/** The requests to send, and the ports of 127.0.0.1 that get the requests in turns. */
export interface LoadOrder {
  readonly plan: LoadPlan;
  readonly ports: readonly number[];
  /** Milliseconds after which a request without an answer is lost; 5 s by default. */
  readonly timeoutMs?: number;
}

/** The messages to the parent. */
export type LoadMessage =
  | { readonly startedAt: number }
  | { readonly sent: number; readonly lost: number }
  | { readonly results: readonly Result[] };

const TIMEOUT_MS = 5000;
const REPORT_EVERY_MS = 250;

// Closes an idle connection before HAProxy does, so that chance does not decide which side closes first.
const kept = new Agent({ keepAlive: true, timeout: KEEP_ALIVE_MS / 2 });

/** Sends one request, and returns the server that answered, or the cause of the loss. */
async function send(
  { number, method, keptAlive, answerMs }: PlannedRequest,
  port: number,
  timeoutMs: number,
): Promise<Pick<Result, 'server' | 'cause' | 'detail'>> {
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
    const status = String(response.statusCode);
    if (status !== '200') {
      return { cause: CAUSES.find((cause) => cause === status) ?? 'other', detail: `status ${status}` };
    }
    const start = `${number} ${body} `;
    const server = content.slice(start.length);
    if (content.startsWith(start) && /^i-\w+$/.test(server)) return { server };
    return { cause: 'other', detail: `wrong answer ${content}` };
  } catch (error) {
    if (timeout.aborted) return { cause: 'timeout' };
    const { code, message } = error as NodeJS.ErrnoException;
    if (code !== 'ECONNRESET' && code !== 'EPIPE') return { cause: 'other', detail: code ?? message };
    return { cause: sending.reusedSocket ? 'reset on reuse' : 'reset' };
  }
}

function responseTo(sending: ClientRequest): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => sending.once('response', resolve).on('error', reject));
}

async function run({ plan, ports, timeoutMs = TIMEOUT_MS }: LoadOrder): Promise<void> {
  let lost = 0;
  const startedAt = Date.now();
  const started = performance.now();
  report({ startedAt });
  const sent: Promise<Result>[] = [];
  const reporting = setInterval(() => report({ sent: sent.length, lost }), REPORT_EVERY_MS);
  for (const planned of plannedRequests(plan)) {
    // Waits even when the load is late, so that this process can read answers.
    await sleep(Math.max(0, planned.at - (performance.now() - started)));
    sent.push(resultOf(planned));
  }
  const results = await Promise.all(sent);
  clearInterval(reporting);
  // Closes the channel after the last message has passed.
  process.send?.({ results } satisfies LoadMessage, () => process.disconnect());

  async function resultOf(planned: PlannedRequest): Promise<Result> {
    const afterDue = () => performance.now() - started - planned.at;
    // A timer may be a moment early.
    const lateMs = Math.max(0, afterDue());
    const end = await send(planned, ports[planned.number % ports.length] ?? 0, timeoutMs);
    if (end.cause) lost += 1;
    return { at: planned.at, lateMs, ms: afterDue(), ...end };
  }
}

function report(message: LoadMessage): void {
  process.send?.(message);
}

process.once('message', (order: LoadOrder) => void run(order));
// The parent has ended.
process.on('disconnect', () => process.exit());
