import { CreateTagsCommand, DeleteTagsCommand, type EC2Client } from '@aws-sdk/client-ec2';
import { type Attempt, retry } from './retry.ts';

/** The tag that tells consumers to take an instance out of the load balancer. */
export interface RemovalTag {
  readonly key: string;
  readonly value: string;
}

/**
 * Sets or clears the tag of an instance. Clearing removes the tag only if it has this very value.
 * @param deadline when retries stop, in milliseconds since 1970.
 * @returns `gone` when EC2 does not know the instance: there is nothing left to take out of the load balancer.
 * @throws the errors of `retry`.
 */
export async function changeRemovalTag(
  action: 'set-tag' | 'clear-tag',
  ec2: Pick<EC2Client, 'send'>,
  { key, value }: RemovalTag,
  instanceId: string,
  deadline: number,
): Promise<'tagged' | 'untagged' | 'gone'> {
  const input = { Resources: [instanceId], Tags: [{ Key: key, Value: value }] };
  const attempt: Attempt =
    action === 'set-tag'
      ? (options) => ec2.send(new CreateTagsCommand(input), options)
      : (options) => ec2.send(new DeleteTagsCommand(input), options);
  try {
    await retry(attempt, deadline);
  } catch (error) {
    if (error instanceof Error && error.name === 'InvalidInstanceID.NotFound') return 'gone';
    throw error;
  }
  return action === 'set-tag' ? 'tagged' : 'untagged';
}
