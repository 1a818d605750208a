import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { SNSEvent } from 'aws-lambda';
import type { LambdaProcess } from '../local-aws/lambda.ts';

/** Names of files in test/events, each with a whole SNS event as AWS sends it. */
type Sample = 'terminating' | 'terminating-to-warm-pool' | 'launching-from-warm-pool';

/** Plays Auto Scaling and SNS: delivers lifecycle messages to this function, one after the other. */
export function publisherTo(lambda: LambdaProcess) {
  const errors: string[] = [];
  let previous = Promise.resolve();

  async function deliver(sample: Sample, instanceId: string): Promise<void> {
    const { error } = await lambda.invoke(await lifecycleEvent(sample, instanceId));
    if (error) errors.push(`${error.errorType}: ${error.errorMessage}`);
  }

  return {
    /** A sentence for each error that the function threw. */
    errors,
    /** Sends a lifecycle message. Resolves when the function has handled it, or has failed. */
    publish(sample: Sample, instanceId: string): Promise<void> {
      previous = previous.then(() => deliver(sample, instanceId));
      return previous;
    },
  };
}

/** The sample with this instance and the current time. */
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
