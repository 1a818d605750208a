import { CreateTagsCommand, DeleteTagsCommand, type EC2Client } from '@aws-sdk/client-ec2';
import { retry } from './retry.ts';

/** The tag that tells consumers to take an instance out of the load balancer. */
export interface RemovalTag {
  readonly key: string;
  readonly value: string;
}

// EC2 may answer that an instance does not exist although the instance is running.
const NOT_FOUND_MS = 10_000;

/**
 * Sets or clears the tag of an instance. Clearing removes the tag only if the tag has this value.
 * @param deadline when retries stop, in milliseconds since 1970.
 * @returns `gone` when EC2 does not find the instance for ten seconds.
 * @throws the errors of `retry`, also when the deadline comes before the end of the ten seconds.
 */
export async function changeRemovalTag(
  action: 'set-tag' | 'clear-tag',
  ec2: Pick<EC2Client, 'send'>,
  { key, value }: RemovalTag,
  instanceId: string,
  deadline: number,
): Promise<'tagged' | 'untagged' | 'gone'> {
  const input = { Resources: [instanceId], Tags: [{ Key: key, Value: value }] };
  let firstNotFound: number | undefined;
  return retry(async (options) => {
    try {
      if (action === 'set-tag') await ec2.send(new CreateTagsCommand(input), options);
      else await ec2.send(new DeleteTagsCommand(input), options);
    } catch (error) {
      if (!(error instanceof Error && error.name === 'InvalidInstanceID.NotFound')) throw error;
      firstNotFound ??= Date.now();
      if (Date.now() - firstNotFound < NOT_FOUND_MS) throw error;
      return 'gone';
    }
    return action === 'set-tag' ? 'tagged' : 'untagged';
  }, deadline);
}
