import { readFileSync } from 'node:fs';
import type { SNSEvent, SNSMessage } from 'aws-lambda';

/** Reads a whole SNS event from test/events. */
export function event(name: string): SNSEvent {
  return JSON.parse(readFileSync(new URL(`../events/${name}.json`, import.meta.url), 'utf8'));
}

/** Parses the first message of an event. */
export function messageOf({ Records }: SNSEvent): Record<string, unknown> {
  return JSON.parse(Records[0]?.Sns.Message ?? '');
}

/** Changes fields of an event's message; `undefined` removes a field. */
export function eventWith(name: string, changes: Record<string, unknown>): SNSEvent {
  const original = event(name);
  return withText(original, JSON.stringify({ ...messageOf(original), ...changes }));
}

export function withText(original: SNSEvent, text: unknown): SNSEvent {
  return withSns(original, { Message: text });
}

/** Sets the time at which SNS published an event; `undefined` removes the time. */
export function publishedAt(original: SNSEvent, timestamp: unknown): SNSEvent {
  return withSns(original, { Timestamp: timestamp });
}

/** Changes fields that SNS put around a message. The values need not have the right type. */
export function withSns(original: SNSEvent, changes: Partial<Record<keyof SNSMessage, unknown>>): SNSEvent {
  return {
    Records: original.Records.map((record) => ({ ...record, Sns: { ...record.Sns, ...changes } as SNSMessage })),
  };
}

export function joined(...events: SNSEvent[]): SNSEvent {
  return { Records: events.flatMap(({ Records }) => Records) };
}
