import type { LambdaProcess } from '../aws/lambda.ts';
import { lifecycleEvent, type Sample } from './lifecycle-event.ts';

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
      // One that could not be delivered is its publisher's affair, not the next one's.
      previous = delivery.catch(() => {});
      return delivery;
    },
  };
}
