import { CreateTagsCommand, DeleteTagsCommand, type EC2Client } from '@aws-sdk/client-ec2';
import { type Attempt, retry } from './retry.ts';

/** The part of the EC2 client that is used here. */
export type Ec2 = Pick<EC2Client, 'send'>;

/** The tag that asks whoever builds the load balancer's configuration to leave the instance out. */
export interface RemovalTag {
  readonly key: string;
  readonly value: string;
}

/**
 * Sets the tag on an instance.
 * @param until when to give up, in milliseconds since 1970.
 * @returns `gone` when EC2 does not know the instance any more: there is nothing left to take out of the load balancer.
 * @throws as `retry` does.
 */
export function setRemovalTag(ec2: Ec2, { key, value }: RemovalTag, instanceId: string, until: number) {
  const command = new CreateTagsCommand({ Resources: [instanceId], Tags: [{ Key: key, Value: value }] });
  return settle('tagged', (options) => ec2.send(command, options), until);
}

/** Clears the tag from an instance, if it has that very value. Results and errors as of {@link setRemovalTag}. */
export function clearRemovalTag(ec2: Ec2, { key, value }: RemovalTag, instanceId: string, until: number) {
  const command = new DeleteTagsCommand({ Resources: [instanceId], Tags: [{ Key: key, Value: value }] });
  return settle('untagged', (options) => ec2.send(command, options), until);
}

async function settle<Outcome extends 'tagged' | 'untagged'>(
  outcome: Outcome,
  attempt: Attempt,
  until: number,
): Promise<Outcome | 'gone'> {
  try {
    await retry(attempt, until);
    return outcome;
  } catch (error) {
    if (error instanceof Error && error.name === 'InvalidInstanceID.NotFound') return 'gone';
    throw error;
  }
}
