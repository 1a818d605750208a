import { EC2Client } from '@aws-sdk/client-ec2';

// EC2 answers within a second or two. A call on a socket that hangs for longer is repeated on another socket.
const CONNECTION_TIMEOUT_MS = 2000;
const REQUEST_TIMEOUT_MS = 4000;

const clients = new Map<string, EC2Client>();

/**
 * Returns the client of a region, which is made once and kept. A topic may be in another region than the function,
 * because SNS delivers across regions.
 */
export function ec2In(region: string): EC2Client {
  const client = clients.get(region) ?? makeClient(region);
  clients.set(region, client);
  return client;
}

function makeClient(region: string): EC2Client {
  return new EC2Client({
    region,
    // src/retry.ts retries. The SDK's own retry gives up long before EC2's throttling ends.
    maxAttempts: 1,
    requestHandler: {
      connectionTimeout: CONNECTION_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      throwOnRequestTimeout: true,
      socketTimeout: REQUEST_TIMEOUT_MS,
    },
  });
}
