import { EC2Client } from '@aws-sdk/client-ec2';

// EC2 answers within a second or two; a socket that hangs for longer is given up and the call repeated on another.
const CONNECTION_TIMEOUT_MS = 2000;
const REQUEST_TIMEOUT_MS = 4000;

const clients = new Map<string, EC2Client>();

/**
 * The client for a region, made once and kept. A hook's topic is always in the region of its group, but SNS may deliver
 * to a function in another region; the template keeps both in one, so there this is a single client.
 */
export function ec2In(region: string): EC2Client {
  const client = clients.get(region) ?? makeClient(region);
  clients.set(region, client);
  return client;
}

function makeClient(region: string): EC2Client {
  return new EC2Client({
    region,
    // The retry rule is ours: the SDK's gives up long before EC2's throttling ends.
    maxAttempts: 1,
    requestHandler: {
      connectionTimeout: CONNECTION_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      throwOnRequestTimeout: true,
      socketTimeout: REQUEST_TIMEOUT_MS,
    },
  });
}

// The topic is most likely in the function's own region; Lambda's start-up has more CPU than an invocation.
if (process.env.AWS_REGION) ec2In(process.env.AWS_REGION);
