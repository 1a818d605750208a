import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { answerFault, type Fault } from './ec2-fault.ts';
import { describeInstances, type Instance } from './ec2-instances.ts';
import { Ec2Error, errorXml, send } from './ec2-query.ts';
import { createTags, deleteTags, describeTags } from './ec2-tags.ts';
import { type TokenBucketSize, tokenBucket } from './token-bucket.ts';

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

export interface Ec2EndpointOptions {
  /** Throttles calls as EC2 does. Without a bucket, nothing is throttled. */
  readonly bucket?: TokenBucketSize;
}

const ACTIONS: Record<string, (parameters: URLSearchParams, instances: Map<string, Instance>) => string> = {
  CreateTags: createTags,
  DeleteTags: deleteTags,
  DescribeTags: describeTags,
  DescribeInstances: describeInstances,
};

/**
 * Starts an EC2 endpoint on the loopback interface that keeps instances and tags in memory. The endpoint speaks EC2's
 * query protocol, and does not check signatures.
 */
export async function startEc2Endpoint(options: Ec2EndpointOptions = {}): Promise<Ec2Endpoint> {
  const started = performance.now();
  const takeToken = options.bucket ? tokenBucket(options.bucket) : () => true;

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const parameters = new URLSearchParams(await text(request));
    const action = parameters.get('Action') ?? '';
    const accessKeyId = /Credential=([^/]+)/.exec(request.headers.authorization ?? '')?.[1];
    const sessionToken = request.headers['x-amz-security-token']?.toString();
    const call: Call = { action, parameters, accessKeyId, sessionToken, at: performance.now() - started, outcome: 0 };
    endpoint.calls.push(call);
    const fault = endpoint.faults.shift() ?? endpoint.lastingFault;
    if (fault) {
      call.outcome = fault;
      answerFault(fault, response);
      return;
    }
    try {
      if (!takeToken()) throw new Ec2Error('RequestLimitExceeded', 'Request limit exceeded.', 503);
      const run = ACTIONS[action];
      if (!run) throw new Ec2Error('InvalidAction', `The action ${action} is not valid for this web service.`);
      const xml = run(parameters, endpoint.instances);
      call.outcome = 200;
      send(response, 200, xml);
    } catch (error) {
      if (!(error instanceof Ec2Error)) throw error;
      call.outcome = error.status;
      send(response, error.status, errorXml(error.code, error.message));
    }
  }

  const server = createServer((request, response) => {
    answer(request, response).catch((error: unknown) => {
      // A client that has closed its request in the middle gets no answer.
      if (!request.destroyed) send(response, 500, errorXml('InternalError', String(error)));
    });
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
