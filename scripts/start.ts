import { readFile } from 'node:fs/promises';
import { styleText } from 'node:util';
import { DescribeTagsCommand, EC2Client } from '@aws-sdk/client-ec2';
import type { SNSEvent } from 'aws-lambda';
import { readArn } from '../src/arn.ts';
import { readMessage } from '../src/lifecycle-message.ts';
import { readSettings } from '../src/settings.ts';
import { type Ec2Endpoint, startEc2Endpoint } from './aws/ec2-endpoint.ts';
import { startLambda } from './aws/lambda.ts';
import { bundle } from './bundle.ts';

const SAMPLE = 'test/events/terminating.json';

try {
  await main(process.argv.slice(2));
} catch (error) {
  console.error(styleText('red', `npm start: ${error instanceof Error ? error.message : error}`));
  process.exitCode = 1;
}

async function main(named: string[]): Promise<void> {
  const files = named.length > 0 ? named : [SAMPLE];
  // All are read before the first is run, so that a mistake in the last name does not come half-way.
  const events = await Promise.all(files.map(readEvent));
  const { zip } = await bundle();
  // Empty is unset, for the AWS CLI as well.
  const given = process.env.AWS_ENDPOINT_URL || undefined;
  if (given !== undefined && !/^https?:$/.test(URL.parse(given)?.protocol ?? '')) {
    throw new Error(`AWS_ENDPOINT_URL is ${JSON.stringify(given)}; expected http://… or https://…`);
  }
  const own = given === undefined ? await startEc2Endpoint() : undefined;
  const url = given ?? own?.url ?? '';
  console.log(`function  as npm run bundle zips it, ${zip.length} bytes`);
  console.log(`EC2       ${url}${own ? ", the project's own endpoint, in memory" : ', from AWS_ENDPOINT_URL'}`);
  try {
    for (const event of events) await run(zip, event, url, own);
  } finally {
    await own?.close();
  }
}

interface EventFile {
  readonly file: string;
  readonly event: SNSEvent;
  /** Where the function is: with its topic, so that a message from another account still shows as foreign. */
  readonly region: string;
  readonly accountId: string;
}

async function readEvent(file: string): Promise<EventFile> {
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    throw new Error(`${file}: cannot be read (${error.code}); expected a file that holds an SNS event`);
  });
  let event: Partial<SNSEvent> | null;
  try {
    event = JSON.parse(text);
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

async function run(zip: Uint8Array, { file, event, region, accountId }: EventFile, url: string, own?: Ec2Endpoint) {
  const messages = event.Records.map(({ Sns }) => readable(Sns.Message));
  const ids = messages.flatMap(({ EC2InstanceId: id }) => (typeof id === 'string' && id ? [id] : []));
  if (own) for (const { Sns } of event.Records) launch(own, Sns.Message);

  const client = new EC2Client({
    region,
    endpoint: url,
    // An endpoint of one's own is used as it is, whatever is set for AWS's.
    useFipsEndpoint: false,
    useDualstackEndpoint: false,
    ...(own && { credentials: { accessKeyId: 'local', secretAccessKey: 'local' } }),
  });
  // The bundle reads its credentials from the environment alone, as Lambda gives them; a profile is looked up here.
  const { accessKeyId, secretAccessKey, sessionToken } = await client.config.credentials().catch((error: Error) => {
    throw new Error(
      `${error.message}; ${url} needs AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (any values for an emulator)`,
    );
  });
  const lambda = await startLambda(zip, {
    region,
    accountId,
    environment: {
      AWS_ENDPOINT_URL: url,
      AWS_ACCESS_KEY_ID: accessKeyId,
      AWS_SECRET_ACCESS_KEY: secretAccessKey,
      AWS_SESSION_TOKEN: sessionToken ?? '',
      ...settings(),
    },
  });
  try {
    console.log(`\n${styleText('bold', file)}`);
    for (const fields of messages) show('message', summary(fields));
    show('before', await tags(client, ids));
    const { log, error, ms } = await lambda.invoke(event);
    for (const { level, message } of log) show('logged', `${level} ${JSON.stringify(message)}`);
    show('after', await tags(client, ids));
    if (error) {
      show('failed', styleText('red', `${error.errorType}: ${error.errorMessage}`));
      process.exitCode = 1;
    }
    show('took', `${ms.toFixed(0)} ms`);
  } finally {
    await lambda.stop();
    client.destroy();
  }
}

function show(label: string, text: string): void {
  console.log(`  ${styleText('dim', label.padEnd(8))}${text}`);
}

/** The fields of a message for a person to recognise it by; none of what the function itself will refuse. */
function readable(text: string): Record<string, unknown> {
  try {
    return Object(JSON.parse(text));
  } catch {
    return {};
  }
}

function summary(fields: Record<string, unknown>): string {
  const { LifecycleTransition, Event, EC2InstanceId, AutoScalingGroupName, Origin, Destination, Time } = fields;
  const way = Origin && `${Origin} → ${Destination}`;
  const group = AutoScalingGroupName && `group ${AutoScalingGroupName}`;
  const parts = [LifecycleTransition ?? Event, EC2InstanceId, group, way, Time].filter(Boolean);
  return parts.length > 0 ? parts.join('  ') : 'not an Auto Scaling message';
}

/** Gives the project's own endpoint the instance that a message names, in the state that comes before such a message. */
function launch({ instances }: Ec2Endpoint, text: string): void {
  const { asks, names } = readMessage(text);
  if (names.instanceId === undefined || instances.has(names.instanceId)) return;
  const tags = new Map(names.autoScalingGroupName ? [['aws:autoscaling:groupName', names.autoScalingGroupName]] : []);
  const { tag } = readSettings(process.env);
  if (asks === 'clear-tag') tags.set(tag.key, tag.value);
  instances.set(names.instanceId, { tags });
}

async function tags(client: EC2Client, ids: string[]): Promise<string> {
  if (ids.length === 0) return 'no instance named';
  const { Tags = [] } = await client.send(new DescribeTagsCommand({ Filters: [{ Name: 'resource-id', Values: ids }] }));
  return ids
    .map((id) => {
      const own = Tags.filter(({ ResourceId }) => ResourceId === id).map(({ Key, Value }) => `${Key}=${Value}`);
      return `${id}  ${own.length > 0 ? own.join('  ') : 'no tags'}`;
    })
    .join('\n          ');
}

/** The function's own settings, handed on when they are set here. */
function settings(): Record<string, string> {
  const { TAG_KEY, TAG_VALUE } = process.env;
  return { ...(TAG_KEY !== undefined && { TAG_KEY }), ...(TAG_VALUE !== undefined && { TAG_VALUE }) };
}
