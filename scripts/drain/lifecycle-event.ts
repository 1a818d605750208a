import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { SNSEvent } from 'aws-lambda';

/** The lifecycle messages that are sent here, each from a whole SNS event as AWS sends it. */
export type Sample = 'terminating' | 'terminating-to-warm-pool' | 'launching-from-warm-pool';

/** A sample as it would come for this instance, now. */
export async function lifecycleEvent(sample: Sample, instanceId: string): Promise<SNSEvent> {
  const file = new URL(`../../test/events/${sample}.json`, import.meta.url);
  const event: SNSEvent = JSON.parse(await readFile(file, 'utf8'));
  for (const { Sns } of event.Records) {
    const message = JSON.parse(Sns.Message);
    const changes = { EC2InstanceId: instanceId, RequestId: randomUUID(), Time: new Date().toISOString() };
    Sns.Message = JSON.stringify({ ...message, ...changes });
  }
  return event;
}
