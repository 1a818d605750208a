import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { SNSEvent } from 'aws-lambda';
import type { LambdaProcess } from '../local-aws/lambda.ts';

/** The lifecycle messages that are sent here, each from a whole SNS event as AWS sends it. */
type Sample = 'terminating' | 'terminating-to-warm-pool' | 'launching-from-warm-pool';

/** The SNS topic, with the function subscribed to it. */
export interface Topic {
  /** Sends a lifecycle message; resolves when the function has handled it, or has failed. */
  publish(sample: Sample, instanceId: string): Promise<void>;
  /** What the function threw, in words. */
  readonly errors: readonly string[];
}

/** A topic that delivers to this function, one message after the other. */
export function topicOf(lambda: LambdaProcess): Topic {
  const errors: string[] = [];
  let previous = Promise.resolve();

  async function deliver(sample: Sample, instanceId: string): Promise<void> {
    const { error } = await lambda.invoke(await lifecycleEvent(sample, instanceId));
    if (error) errors.push(`${error.errorType}: ${error.errorMessage}`);
  }

  return {
    errors,
    publish(sample, instanceId) {
      const delivery = previous.then(() => deliver(sample, instanceId));
      // The publisher hears of a message that could not be delivered; the next message goes out all the same.
      previous = delivery.catch(() => {});
      return delivery;
    },
  };
}

/** A sample as it would come for this instance, now. */
async function lifecycleEvent(sample: Sample, instanceId: string): Promise<SNSEvent> {
  const file = new URL(`../../test/events/${sample}.json`, import.meta.url);
  const event: SNSEvent = JSON.parse(await readFile(file, 'utf8'));
  const now = new Date().toISOString();
  for (const { Sns } of event.Records) {
    const message = JSON.parse(Sns.Message);
    Sns.Timestamp = now;
    Sns.Message = JSON.stringify({ ...message, EC2InstanceId: instanceId, RequestId: randomUUID(), Time: now });
  }
  return event;
}
