import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { AUTO_SCALING_ACTIONS } from './auto-scaling.ts';
import { ACTIONS, type Instance } from './ec2-instances.ts';
import { AUTO_SCALING_PROTOCOL, EC2_PROTOCOL, Ec2Error, type Protocol } from './ec2-query.ts';

export interface Call {
  readonly action: string;
  readonly parameters: URLSearchParams;
  /** The access key id that signed the call; absent when the call was not signed. */
  readonly accessKeyId: string | undefined;
  /** The session token; absent when the credentials are not temporary. */
  readonly sessionToken: string | undefined;
  /** Milliseconds since the endpoint started. */
  readonly at: number;
  /** The HTTP status of the answer, or the fault that was sent instead. 0 until then. */
  outcome: number | Fault;
}

/**
 * A fault of one call: an error in the service's own XML, a page from a proxy, a connection reset, no answer at all, or an answer
 * that stops or is reset in its body.
 */
export type Fault =
  | { readonly status: number; readonly code: string }
  | { readonly status: number; readonly html: string }
  | 'reset'
  | 'hang'
  | 'hang in body'
  | 'reset in body';

export interface Ec2Endpoint {
  readonly url: string;
  readonly instances: Map<string, Instance>;
  readonly calls: Call[];
  /** The faults of the next calls, one for each call, in order. */
  readonly faults: Fault[];
  /** The fault of every call for which `faults` is empty. */
  lastingFault: Fault | undefined;
  close(): Promise<void>;
}

/** EC2's token bucket: each call takes a token, and a call without a token is refused. */
export interface TokenBucket {
  readonly capacity: number;
  readonly refillPerSecond: number;
}

const EC2 = [ACTIONS, EC2_PROTOCOL] as const;
const AUTO_SCALING = [AUTO_SCALING_ACTIONS, AUTO_SCALING_PROTOCOL] as const;

/**
 * Starts an endpoint of EC2 and Auto Scaling on the loopback interface that keeps instances and tags in memory. The endpoint
 * speaks the query protocol, and does not check signatures.
 * @param bucket throttles calls. Without a bucket, nothing is throttled.
 */
export async function startEc2Endpoint(bucket?: TokenBucket): Promise<Ec2Endpoint> {
  const started = performance.now();
  const takeToken = bucket ? fill(bucket) : () => true;

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const parameters = new URLSearchParams(await text(request));
    const action = parameters.get('Action') ?? '';
    const accessKeyId = /Credential=([^/]+)/.exec(request.headers.authorization ?? '')?.[1];
    const sessionToken = request.headers['x-amz-security-token']?.toString();
    const call: Call = { action, parameters, accessKeyId, sessionToken, at: performance.now() - started, outcome: 0 };
    endpoint.calls.push(call);
    const [actions, protocol] = action in AUTO_SCALING_ACTIONS ? AUTO_SCALING : EC2;
    const fault = endpoint.faults.shift() ?? endpoint.lastingFault;
    if (fault) {
      call.outcome = fault;
      answerFault(fault, protocol, response);
      return;
    }
    try {
      if (!takeToken()) throw new Ec2Error('RequestLimitExceeded', 'Request limit exceeded.', 503);
      const run = actions[action];
      if (!run) throw new Ec2Error('InvalidAction', `The action ${action} is not valid for this web service.`);
      const content = run(parameters, endpoint.instances);
      call.outcome = 200;
      sendXml(response, 200, protocol.success(action, content));
    } catch (error) {
      // Any other error is a fault of this endpoint.
      const answered = error instanceof Ec2Error ? error : new Ec2Error('InternalError', String(error), 500);
      call.outcome = answered.status;
      sendXml(response, answered.status, protocol.error(answered));
    }
  }

  const server = createServer((request, response) => {
    // A client that has closed its request in the middle gets no answer.
    answer(request, response).catch(() => response.destroy());
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    // The longest queue that the system allows, because a thousand functions may connect at the same moment.
    server.listen({ port: 0, host: '127.0.0.1', backlog: 4096 }, resolve);
  });
  const endpoint: Ec2Endpoint = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    instances: new Map(),
    calls: [],
    faults: [],
    lastingFault: undefined,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  return endpoint;
}

/**
 * @param now the time in milliseconds.
 * @returns a function that takes a token from a bucket, full at first, and says whether there was one.
 */
export function fill({ capacity, refillPerSecond }: TokenBucket, now = () => performance.now()): () => boolean {
  let tokens = capacity;
  let filledAt = now();
  return () => {
    const at = now();
    tokens = Math.min(capacity, tokens + ((at - filledAt) / 1000) * refillPerSecond);
    filledAt = at;
    if (tokens < 1) return false;
    tokens -= 1;
    return true;
  };
}

function answerFault(fault: Fault, protocol: Protocol, response: ServerResponse): void {
  if (fault === 'hang') return;
  if (fault === 'reset') {
    response.socket?.resetAndDestroy();
  } else if (fault === 'hang in body' || fault === 'reset in body') {
    response.writeHead(200, { 'content-type': 'text/xml', 'content-length': 1000 });
    response.write('<?xml version="1.0"', () => {
      if (fault === 'reset in body') response.socket?.resetAndDestroy();
    });
  } else if ('html' in fault) {
    response.writeHead(fault.status, { 'content-type': 'text/html' }).end(fault.html);
  } else {
    const error = new Ec2Error(fault.code, `${fault.code}, a fault that a test asked for`, fault.status);
    sendXml(response, fault.status, protocol.error(error));
  }
}

function sendXml(response: ServerResponse, status: number, xml: string): void {
  response.writeHead(status, { 'content-type': 'text/xml;charset=UTF-8' });
  response.end(`<?xml version="1.0" encoding="UTF-8"?>\n${xml}`);
}
