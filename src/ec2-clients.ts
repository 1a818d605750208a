import { EC2Client } from '@aws-sdk/client-ec2';

// EC2 answers within two seconds. If a socket hangs for longer, the function repeats the call on another socket.
const CONNECTION_TIMEOUT_MS = 2000;
const REQUEST_TIMEOUT_MS = 4000;

const clients = new Map<string, EC2Client>();

/**
 * Returns the client of a region. The topic may be in another region than the function: SNS delivers across regions.
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
