import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { type Fault, fail } from './ec2-fault.ts';
import { describeInstances, type Instance } from './ec2-instances.ts';
import { errorXml, Refusal, send } from './ec2-query.ts';
import { changeTags, describeTags } from './ec2-tags.ts';
import { type TokenBucketSize, tokenBucket } from './token-bucket.ts';

/** One call as it came in, with the milliseconds since the endpoint started. */
export interface Call {
  readonly action: string;
  readonly parameters: URLSearchParams;
  /** The access key id that the call was signed with; absent when it was not signed. */
  readonly accessKeyId: string | undefined;
  /** The token of temporary credentials; absent when the credentials are not temporary. */
  readonly sessionToken: string | undefined;
  readonly at: number;
  /** HTTP status of the answer, or the fault that stood in its place. */
  outcome: number | Fault;
}

export interface Ec2Endpoint {
  readonly url: string;
  readonly instances: Map<string, Instance>;
  readonly calls: Call[];
  /** Faults for the next calls, one each, first come first served. */
  readonly faults: Fault[];
  /** A fault for every call that `faults` leaves alone. */
  lastingFault: Fault | undefined;
  close(): Promise<void>;
}

export interface Ec2EndpointOptions {
  /** Throttle as EC2 does. None by default. */
  readonly bucket?: TokenBucketSize;
}

/**
 * Starts an EC2 endpoint on the loopback interface that keeps instances and tags in memory. It speaks EC2's query
 * protocol (https://docs.aws.amazon.com/AWSEC2/latest/APIReference/Query-Requests.html) for CreateTags, DeleteTags,
 * DescribeTags and DescribeInstances. Signatures are not checked.
 */
export async function startEc2Endpoint(options: Ec2EndpointOptions = {}): Promise<Ec2Endpoint> {
  const started = performance.now();
  const takeToken = options.bucket ? tokenBucket(options.bucket) : () => true;
  const server = createServer((request, response) => {
    answer(request, response).catch((error: unknown) => {
      // Nobody waits for an answer when the client has gone away in the middle of its request.
      if (!request.destroyed) send(response, 500, errorXml('InternalError', String(error)));
    });
  });

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
      fail(fault, response);
      return;
    }
    try {
      if (!takeToken()) throw new Refusal('RequestLimitExceeded', 'Request limit exceeded.', 503);
      const xml = run(action, parameters, endpoint.instances);
      call.outcome = 200;
      send(response, 200, xml);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      call.outcome = error.status;
      send(response, error.status, errorXml(error.code, error.message));
    }
  }

  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    // The longest queue that the system allows: a thousand functions may connect in the same moment.
    server.listen({ port: 0, host: '127.0.0.1', backlog: 4096 }, resolve);
  });
  const { address, port } = server.address() as AddressInfo;
  const endpoint: Ec2Endpoint = {
    url: `http://${address}:${port}`,
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

function run(action: string, parameters: URLSearchParams, instances: Map<string, Instance>): string {
  switch (action) {
    case 'CreateTags':
    case 'DeleteTags':
      return changeTags(action, parameters, instances);
    case 'DescribeTags':
      return describeTags(parameters, instances);
    case 'DescribeInstances':
      return describeInstances(parameters, instances);
    default:
      throw new Refusal('InvalidAction', `The action ${action} is not valid for this web service.`);
  }
}
