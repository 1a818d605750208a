import { EC2Client, paginateDescribeTags } from '@aws-sdk/client-ec2';

// An emulator may take this long to load its EC2 service at the first call.
const TIMEOUT_MS = 10_000;

// FilterLimitExceeded: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html
const MAX_FILTER_VALUES = 200;

/** @param timeoutMs limit for each call. */
export function connect(
  url: string,
  region: string,
  credentials?: { accessKeyId: string; secretAccessKey: string },
  timeoutMs = TIMEOUT_MS,
): EC2Client {
  return new EC2Client({
    region,
    endpoint: url,
    // The environment may ask for these endpoints of AWS, but the URL must stay as it is.
    useFipsEndpoint: false,
    useDualstackEndpoint: false,
    maxAttempts: 1,
    requestHandler: { requestTimeout: timeoutMs, socketTimeout: timeoutMs, throwOnRequestTimeout: true },
    ...(credentials && { credentials }),
  });
}

/**
 * Describes the tags of instances, one line for each instance.
 * @throws Error with the endpoint, the HTTP status if there is one, and the SDK's error.
 */
export async function describeTags(
  client: EC2Client,
  url: string,
  ids: readonly string[],
  signal: AbortSignal,
): Promise<string[]> {
  const tags = new Map(ids.map((id): [string, string[]] => [id, []]));
  try {
    for (let from = 0; from < ids.length; from += MAX_FILTER_VALUES) {
      const Filters = [{ Name: 'resource-id', Values: ids.slice(from, from + MAX_FILTER_VALUES) }];
      for await (const page of paginateDescribeTags({ client }, { Filters }, { abortSignal: signal })) {
        // EC2 always sends a list, even an empty one. The SDK reads other HTML or XML as an answer without a list.
        if (!page.Tags) throw Object.assign(new Error('the answer has no list of tags'), page);
        for (const { ResourceId = '', Key, Value } of page.Tags) tags.get(ResourceId)?.push(`${Key}=${Value}`);
      }
    }
  } catch (error) {
    const { name, message, $metadata } = error as Error & { $metadata?: { httpStatusCode?: number } };
    const status = $metadata?.httpStatusCode ? `HTTP status ${$metadata.httpStatusCode}, ` : '';
    // The second line of the message is about the SDK's internals.
    const [reason] = message.split('\n');
    throw new Error(`DescribeTags fails at ${url}: ${status}${name}: ${reason}`, { cause: error });
  }
  return [...tags].map(([id, pairs]) => `${id}  ${pairs.join('  ') || 'no tags'}`);
}
