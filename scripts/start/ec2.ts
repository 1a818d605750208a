import { EC2Client, paginateDescribeTags } from '@aws-sdk/client-ec2';

// An emulator may load its EC2 at the first call.
const ANSWER_WITHIN_MS = 10_000;

// FilterLimitExceeded: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html
const FILTER_VALUES = 200;

/** A client that uses the endpoint unchanged, also when the environment asks for FIPS or dual-stack endpoints of AWS. */
export function connect(
  url: string,
  region: string,
  credentials?: { accessKeyId: string; secretAccessKey: string },
  answerWithinMs = ANSWER_WITHIN_MS,
) {
  return new EC2Client({
    region,
    endpoint: url,
    useFipsEndpoint: false,
    useDualstackEndpoint: false,
    maxAttempts: 1,
    requestHandler: {
      connectionTimeout: answerWithinMs,
      requestTimeout: answerWithinMs,
      socketTimeout: answerWithinMs,
      throwOnRequestTimeout: true,
    },
    ...(credentials && { credentials }),
  });
}

/**
 * Describes the tags of instances, one line for each instance.
 * @throws Error with the endpoint, the HTTP status if there is one, and the SDK's error.
 */
export async function describeTags(client: EC2Client, url: string, ids: string[], signal: AbortSignal) {
  const tags = new Map(ids.map((id): [string, string[]] => [id, []]));
  for (let from = 0; from < ids.length; from += FILTER_VALUES) {
    const Filters = [{ Name: 'resource-id', Values: ids.slice(from, from + FILTER_VALUES) }];
    try {
      for await (const page of paginateDescribeTags({ client }, { Filters }, { abortSignal: signal })) {
        // EC2 always sends a list, even an empty one. The SDK accepts any other page of HTML or XML without an error.
        if (!page.Tags) throw Object.assign(new Error('the answer has no list of tags'), page);
        for (const { ResourceId = '', Key, Value } of page.Tags) tags.get(ResourceId)?.push(`${Key}=${Value}`);
      }
    } catch (error) {
      const { name, message, $metadata } = error as Error & { $metadata?: { httpStatusCode?: number } };
      const status = $metadata?.httpStatusCode;
      // The SDK's second line is about its own internals.
      const [reason] = message.split('\n');
      throw new Error(`DescribeTags fails at ${url}: ${status ? `HTTP status ${status}, ` : ''}${name}: ${reason}`, {
        cause: error,
      });
    }
  }
  return [...tags].map(([id, own]) => `${id}  ${own.length > 0 ? own.join('  ') : 'no tags'}`);
}
