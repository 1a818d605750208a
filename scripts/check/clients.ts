import { AutoScalingClient } from '@aws-sdk/client-auto-scaling';
import { CloudFormationClient } from '@aws-sdk/client-cloudformation';
import { CloudWatchClient } from '@aws-sdk/client-cloudwatch';
import { EC2Client } from '@aws-sdk/client-ec2';
import { IAMClient } from '@aws-sdk/client-iam';
import { KMSClient } from '@aws-sdk/client-kms';
import { LambdaClient } from '@aws-sdk/client-lambda';
import { SNSClient } from '@aws-sdk/client-sns';
import { SQSClient } from '@aws-sdk/client-sqs';

/** A client for each service that the chain runs through, with region, credentials and endpoint as the SDK finds them. */
export interface Clients {
  readonly autoScaling: AutoScalingClient;
  readonly cloudFormation: CloudFormationClient;
  readonly cloudWatch: CloudWatchClient;
  readonly ec2: EC2Client;
  readonly iam: IAMClient;
  readonly kms: KMSClient;
  readonly lambda: LambdaClient;
  readonly sns: SNSClient;
  readonly sqs: SQSClient;
}

/** @throws Error that says what to set, when there is no region or there are no credentials. */
export async function makeClients(): Promise<Clients> {
  const cloudFormation = new CloudFormationClient();
  await cloudFormation.config.region().catch((error: Error) => {
    throw new Error(`${error.message}; set AWS_REGION, or a region in the profile`);
  });
  await cloudFormation.config.credentials().catch((error: Error) => {
    throw new Error(`${error.message}; set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY`);
  });
  return {
    autoScaling: new AutoScalingClient(),
    cloudFormation,
    cloudWatch: new CloudWatchClient(),
    ec2: new EC2Client(),
    iam: new IAMClient(),
    kms: new KMSClient(),
    lambda: new LambdaClient(),
    sns: new SNSClient(),
    // Or it would call the host in the queue's URL, which an emulator may take from AWS, in spite of AWS_ENDPOINT_URL.
    sqs: new SQSClient({ useQueueUrlAsEndpoint: false }),
  };
}
