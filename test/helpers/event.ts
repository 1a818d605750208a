import { readFileSync } from 'node:fs';
import type { SNSEvent } from 'aws-lambda';

/** A whole SNS event from test/events. */
export function event(name: string): SNSEvent {
  return JSON.parse(readFileSync(new URL(`../events/${name}.json`, import.meta.url), 'utf8'));
}

/** The first message of an event, parsed. */
export function messageOf({ Records }: SNSEvent): Record<string, unknown> {
  return JSON.parse(Records[0]?.Sns.Message ?? '');
}

/** The event with some fields of its message changed; `undefined` takes a field out. */
export function eventWith(name: string, changes: Record<string, unknown>): SNSEvent {
  const original = event(name);
  return withText(original, JSON.stringify({ ...messageOf(original), ...changes }));
}

/** The event with another text in place of its message. */
export function withText(original: SNSEvent, text: unknown): SNSEvent {
  return {
    Records: original.Records.map((record) => ({ ...record, Sns: { ...record.Sns, Message: text as string } })),
  };
}

/** The event as if SNS had published it then; `undefined` takes the timestamp out. */
export function publishedAt(original: SNSEvent, timestamp: unknown): SNSEvent {
  return {
    Records: original.Records.map((record) => ({ ...record, Sns: { ...record.Sns, Timestamp: timestamp as string } })),
  };
}
