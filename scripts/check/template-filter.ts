import { readFile } from 'node:fs/promises';
import { parse } from 'yaml';

/** The filter policy of the subscription in template.yaml, in which there are no functions of CloudFormation. */
export async function templateFilter(): Promise<unknown> {
  const text = await readFile(new URL('../../template.yaml', import.meta.url), 'utf8');
  // The parser warns of CloudFormation's tags elsewhere in the file.
  return parse(text, { logLevel: 'error' }).Resources.Subscription.Properties.FilterPolicy;
}
