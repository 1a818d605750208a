import { AutoScalingClient } from '@aws-sdk/client-auto-scaling';
import { CloudFormationClient } from '@aws-sdk/client-cloudformation';
import { CloudWatchClient } from '@aws-sdk/client-cloudwatch';
import { EC2Client } from '@aws-sdk/client-ec2';
import { IAMClient } from '@aws-sdk/client-iam';
import { KMSClient } from '@aws-sdk/client-kms';
import { LambdaClient } from '@aws-sdk/client-lambda';
import { SNSClient } from '@aws-sdk/client-sns';
import { SQSClient } from '@aws-sdk/client-sqs';
import { NodeHttpHandler } from '@smithy/node-http-handler';
import { findCredentials, readEndpointUrl } from '../aws-endpoint.ts';

export type Clients = Awaited<ReturnType<typeof makeClients>>;

// Without a logger, the SDK warns on standard error when both AWS_PROFILE and keys are set.
const SILENT = { debug() {}, info() {}, warn() {}, error() {} };

/**
 * A client for each service of the chain, with region, credentials and endpoint as the SDK finds them.
 * @param environment as the SDK reads it from this process.
 * @param signal ends every call.
 * @throws Error that says which setting is missing or wrong.
 */
export async function makeClients(environment: NodeJS.ProcessEnv, signal: AbortSignal) {
  readEndpointUrl(environment);
  const requestHandler = new InterruptibleHandler(signal);
  const cloudFormation = new CloudFormationClient({ requestHandler, logger: SILENT });
  const { credentials, region } = cloudFormation.config;
  await findCredentials(() => credentials(), environment);
  await region().catch((error: Error) => {
    throw new Error(`${error.message}; set AWS_REGION, or a region in the profile`);
  });
  const shared = { requestHandler, credentials, region };
  return {
    autoScaling: new AutoScalingClient(shared),
    cloudFormation,
    cloudWatch: new CloudWatchClient(shared),
    ec2: new EC2Client(shared),
    iam: new IAMClient(shared),
    kms: new KMSClient(shared),
    lambda: new LambdaClient(shared),
    sns: new SNSClient(shared),
    // Otherwise the client calls the host in the queue's URL and ignores AWS_ENDPOINT_URL.
    sqs: new SQSClient({ ...shared, useQueueUrlAsEndpoint: false }),
  };
}

class InterruptibleHandler extends NodeHttpHandler {
  readonly #signal: AbortSignal;

  constructor(signal: AbortSignal) {
    super();
    this.#signal = signal;
  }

  override handle(...[request, options]: Parameters<NodeHttpHandler['handle']>) {
    return super.handle(request, { ...options, abortSignal: this.#signal });
  }
}
