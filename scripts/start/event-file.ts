import { readFile } from 'node:fs/promises';
import type { SNSEvent } from 'aws-lambda';
import { readArn } from '../../src/arn.ts';

/** An SNS event from a file. */
export interface EventFile {
  readonly file: string;
  readonly event: SNSEvent;
  /** Where the function is: with its topic, so that a message from another account still shows as foreign. */
  readonly region: string;
  readonly accountId: string;
}

/** @throws Error that names the file and what was expected. */
export async function readEventFile(file: string): Promise<EventFile> {
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    throw new Error(`${file}: cannot be read (${error.code}); expected a file that holds an SNS event`);
  });
  let event: Partial<SNSEvent> | null;
  try {
    // Some editors begin a file with a byte-order mark, which is no JSON.
    event = JSON.parse(text.replace(/^\uFEFF/, ''));
  } catch (error) {
    throw new Error(`${file}: is not JSON (${(error as Error).message}); expected an SNS event`);
  }
  const records: unknown = event?.Records;
  if (
    !Array.isArray(records) ||
    records.length === 0 ||
    !records.every((record) => record?.Sns?.Message !== undefined)
  ) {
    throw new Error(`${file}: is no SNS event; expected {"Records": [{"Sns": {"TopicArn": …, "Message": …}}]}`);
  }
  return { file, event: event as SNSEvent, ...readArn(`${file}: Sns.TopicArn`, records[0].Sns.TopicArn) };
}
