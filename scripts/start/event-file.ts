import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { addAbortSignal } from 'node:stream';
import { text } from 'node:stream/consumers';
import type { SNSEvent } from 'aws-lambda';
import { readArn } from '../../src/arn.ts';

export interface EventFile {
  /** As the user typed it. */
  readonly name: string;
  readonly event: SNSEvent;
  /** Region and account of the first record's topic. */
  readonly region: string;
  readonly accountId: string;
}

/**
 * Reads an SNS event.
 * @param name `-` for standard input.
 * @param folder the folder of a relative name.
 * @throws Error that names the path and the expected content.
 */
export async function readEventFile(name: string, folder: string, signal: AbortSignal): Promise<EventFile> {
  const path = name === '-' ? 'standard input' : resolve(folder, name);
  const read = name === '-' ? text(addAbortSignal(signal, process.stdin)) : readFile(path, 'utf8');
  const content = await read.catch((error: NodeJS.ErrnoException) => {
    throw new Error(`${path}: cannot be read (${error.code}); expected a file that holds an SNS event`);
  });
  const event: SNSEvent = parse(path, content);
  const records: unknown = event?.Records;
  if (!Array.isArray(records) || !records.length || records.some((record) => record?.Sns?.Message === undefined)) {
    throw new Error(`${path}: is not an SNS event; expected {"Records": [{"Sns": {"TopicArn": …, "Message": …}}]}`);
  }
  return { name, event, ...readArn(`${path}: Sns.TopicArn`, records[0].Sns.TopicArn) };
}

function parse(path: string, content: string) {
  try {
    // Some editors begin a file with a byte-order mark, which is not part of JSON.
    return JSON.parse(content.replace(/^\uFEFF/, ''));
  } catch (error) {
    throw new Error(`${path}: is not JSON (${(error as Error).message}); expected an SNS event`);
  }
}
