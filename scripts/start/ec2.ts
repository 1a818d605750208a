import { DescribeTagsCommand, EC2Client } from '@aws-sdk/client-ec2';
import { loadSharedConfigFiles } from '@smithy/core/config';

// An emulator may load its EC2 at the first call.
const ANSWER_WITHIN_MS = 10_000;

/** What the SDK says of a call that failed: the status when there was an answer, `Code` when EC2 gave one. */
type CallError = NodeJS.ErrnoException & {
  readonly Code?: string;
  readonly $metadata?: { readonly httpStatusCode?: number };
};

/** A client for an endpoint as it is, whatever is set for those of AWS. */
export function connect(url: string, region: string, credentials?: { accessKeyId: string; secretAccessKey: string }) {
  return new EC2Client({
    region,
    endpoint: url,
    useFipsEndpoint: false,
    useDualstackEndpoint: false,
    maxAttempts: 1,
    requestHandler: {
      connectionTimeout: ANSWER_WITHIN_MS,
      requestTimeout: ANSWER_WITHIN_MS,
      socketTimeout: ANSWER_WITHIN_MS,
      throwOnRequestTimeout: true,
    },
    ...(credentials && { credentials }),
  });
}

/**
 * The client's credentials as the function gets them: in the environment, as Lambda gives them.
 * @throws Error that says which setting is missing or wrong.
 */
export async function credentialsOf(client: EC2Client, url: string): Promise<Record<string, string>> {
  const { AWS_PROFILE: profile } = process.env;
  try {
    const { accessKeyId, secretAccessKey, sessionToken = '' } = await client.config.credentials();
    return {
      AWS_ACCESS_KEY_ID: accessKeyId,
      AWS_SECRET_ACCESS_KEY: secretAccessKey,
      AWS_SESSION_TOKEN: sessionToken,
    };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    if (!profile) {
      const needs = 'AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (any values for an emulator)';
      throw new Error(`${reason}; ${url} needs ${needs}`);
    }
    const { configFile, credentialsFile } = await loadSharedConfigFiles();
    const held = `AWS_PROFILE is ${JSON.stringify(profile)}`;
    if (profile in configFile || profile in credentialsFile) throw new Error(`${held}, which fails: ${reason}`);
    throw new Error(`${held}; expected a profile that is there: aws configure list-profiles names them`);
  }
}

/**
 * The tags of instances, a line each.
 * @throws Error that names the endpoint and what it answers.
 */
export async function describeTags(client: EC2Client, url: string, ids: string[]): Promise<string[]> {
  const command = new DescribeTagsCommand({ Filters: [{ Name: 'resource-id', Values: ids }] });
  const { Tags, $metadata } = await client.send(command).catch((error: CallError) => {
    throw new Error(`${url} ${whatHappened(error)}`);
  });
  // EC2 answers with a list, if an empty one; the SDK makes nothing of any other page.
  if (!Tags) throw new Error(`${url} ${isNotEc2($metadata.httpStatusCode)}`);
  return ids.map((id) => {
    const own = Tags.filter(({ ResourceId }) => ResourceId === id).map(({ Key, Value }) => `${Key}=${Value}`);
    return `${id}  ${own.length > 0 ? own.join('  ') : 'no tags'}`;
  });
}

function whatHappened({ name, message, code, Code, $metadata }: CallError): string {
  if (name === 'TimeoutError')
    return `does not answer within ${ANSWER_WITHIN_MS / 1000} s: this is not EC2, or it hangs`;
  const status = $metadata?.httpStatusCode;
  if (Code !== undefined) return `answers with HTTP status ${status} and EC2's error ${Code}: ${message}`;
  return status === undefined ? `cannot be reached: ${code ?? message}` : isNotEc2(status);
}

function isNotEc2(status: number | undefined): string {
  return `answers with HTTP status ${status} and nothing that EC2 would say: this is not EC2`;
}
