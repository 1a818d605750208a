import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { addAbortSignal } from 'node:stream';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { styleText } from 'node:util';
import { DescribeInstancesCommand, EC2Client } from '@aws-sdk/client-ec2';
import type { SNSEvent } from 'aws-lambda';
import { readArn } from '../src/arn.ts';
import { readSettings, SETTING_NAMES } from '../src/settings.ts';
import { findCredentials, readEndpointUrl } from './aws-endpoint.ts';
import { bundle } from './bundle.ts';
import { parseOptions, printable, runCommand, type Terminal } from './command.ts';
import { type Ec2Endpoint, startEc2Endpoint } from './local-aws/ec2-endpoint.ts';
import { startLambda } from './local-aws/lambda.ts';

const NAME = 'npm start';
const PROJECT = fileURLToPath(new URL('..', import.meta.url));
const SAMPLE = 'test/events/terminating.json';
const USAGE = `${NAME} [-- FILE…]
Runs the bundled function on SNS events. Shows the tags of the instances before and after.
  FILE                an SNS event in JSON, as Lambda gets it; "-" for standard input; default: ${SAMPLE}

Environment:
  AWS_ENDPOINT_URL    EC2 endpoint, for example an emulator; default: an endpoint of this command, in memory
  AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY
                      credentials for AWS_ENDPOINT_URL
  ${SETTING_NAMES.join(', ')}
                      settings of the function`;

// An emulator may take this long to load its EC2 service at the first call.
const TIMEOUT_MS = 10_000;

interface Setup {
  readonly zip: Uint8Array;
  readonly url: string;
  /** Absent when the user named an endpoint. */
  readonly localEc2: Ec2Endpoint | undefined;
  readonly environment: NodeJS.ProcessEnv;
  readonly terminal: Terminal;
}

/** @param makeBundle lets tests share one bundle. */
export async function main(
  args: readonly string[],
  environment: NodeJS.ProcessEnv,
  terminal: Terminal,
  makeBundle: () => Promise<{ readonly zip: Uint8Array }> = bundle,
): Promise<number> {
  const { values, positionals } = parseOptions(NAME, environment, {
    args: [...args],
    options: { help: { type: 'boolean', default: false } },
    allowPositionals: true,
  });
  if (values.help) {
    terminal.out(USAGE);
    return 0;
  }
  // npm changes to the project's folder, but a relative FILE belongs to the folder where the user called npm.
  const folder = environment.INIT_CWD ?? process.cwd();
  const files = await Promise.all(positionals.map((name) => readEventFile(name, folder, terminal.signal)));
  if (files.length === 0) files.push(await readEventFile(SAMPLE, PROJECT, terminal.signal));
  const namedUrl = readEndpointUrl(environment);
  const { zip } = await makeBundle();

  await using started = new AsyncDisposableStack();
  const localEc2 = namedUrl === undefined ? await startEc2Endpoint() : undefined;
  started.defer(() => localEc2?.close());
  const url = namedUrl ?? localEc2?.url ?? '';
  terminal.out(`function  bundled as by npm run bundle, ${zip.length} bytes`);
  terminal.out(`EC2       ${url}, ${localEc2 ? 'in memory' : 'from AWS_ENDPOINT_URL'}`);
  let exitCode = 0;
  for (const file of files) {
    if (!(await run(file, { zip, url, localEc2, environment, terminal }))) exitCode = 1;
  }
  return exitCode;
}

interface EventFile {
  /** As the user typed it. */
  readonly name: string;
  readonly event: SNSEvent;
  /** Region and account of the first record's topic. */
  readonly region: string;
  readonly accountId: string;
}

/**
 * @param name `-` for standard input.
 * @param folder the folder of a relative name.
 */
async function readEventFile(name: string, folder: string, signal: AbortSignal): Promise<EventFile> {
  const path = name === '-' ? 'standard input' : resolve(folder, name);
  const read = name === '-' ? text(addAbortSignal(signal, process.stdin)) : readFile(path, 'utf8');
  const event = await read
    .then((content) => JSON.parse(content))
    .catch(({ message }: Error) => {
      throw new Error(`${path}: cannot be read (${message}); expected an SNS event in JSON`);
    });
  const records: unknown = event?.Records;
  if (!Array.isArray(records) || !records.length || records.some((record) => record?.Sns?.Message === undefined)) {
    throw new Error(`${path}: is not an SNS event; expected {"Records": [{"Sns": {"TopicArn": …, "Message": …}}]}`);
  }
  return { name, event, ...readArn(`${path}: Sns.TopicArn`, records[0].Sns.TopicArn) };
}

/** @returns whether the function succeeded. */
async function run({ name, event, region, accountId }: EventFile, setup: Setup): Promise<boolean> {
  const { zip, url, localEc2, environment, terminal } = setup;
  const messages = event.Records.map(({ Sns }) => fieldsOf(Sns.Message));
  const ids = messages.flatMap(({ EC2InstanceId: id }) => (typeof id === 'string' && id ? [id] : []));
  if (localEc2) for (const message of messages) launch(localEc2, message, environment);

  await using started = new AsyncDisposableStack();
  const client = new EC2Client({
    region,
    endpoint: url,
    // The environment may ask for these endpoints of AWS, but the URL must stay as it is.
    useFipsEndpoint: false,
    useDualstackEndpoint: false,
    maxAttempts: 1,
    ...(localEc2 && { credentials: { accessKeyId: 'local', secretAccessKey: 'local' } }),
  });
  started.defer(() => client.destroy());
  const credentials = await findCredentials(() => client.config.credentials(), environment);
  const before = await describeTags(client, url, ids, terminal.signal);
  const lambda = await startLambda(zip, {
    region,
    accountId,
    environment: {
      AWS_ENDPOINT_URL: url,
      AWS_ACCESS_KEY_ID: credentials.accessKeyId,
      AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey,
      AWS_SESSION_TOKEN: credentials.sessionToken ?? '',
      ...settingsIn(environment),
    },
    signal: terminal.signal,
  });
  started.defer(() => lambda.stop());

  function show(label: string, lines: readonly string[], style: 'none' | 'red' = 'none'): void {
    for (const [n, line] of lines.entries()) {
      terminal.out(`  ${styleText('dim', (n === 0 ? label : '').padEnd(9))}${styleText(style, printable(line))}`);
    }
  }
  terminal.out(`\n${styleText('bold', printable(name))}`);
  show('message', messages.map(summaryOf));
  show('before', before);
  const { log, error } = await lambda.invoke(event);
  for (const { level, message } of log) show('log', [`${level} ${JSON.stringify(message)}`]);
  show('after', await describeTags(client, url, ids, terminal.signal));
  if (error) show('failed', [`${error.errorType}: ${error.errorMessage}`], 'red');
  return error === undefined;
}

type Fields = Readonly<Record<string, unknown>>;

/** The fields of a message. Empty when the message is not a JSON object. */
function fieldsOf(message: string): Fields {
  try {
    return Object(JSON.parse(message));
  } catch {
    return {};
  }
}

function summaryOf(fields: Fields): string {
  const { LifecycleTransition, Event, EC2InstanceId, AutoScalingGroupName, Origin, Destination } = fields;
  const group = AutoScalingGroupName && `group ${AutoScalingGroupName}`;
  const route = Origin && `${Origin} → ${Destination}`;
  const parts = [LifecycleTransition ?? Event, EC2InstanceId, group, route].filter(Boolean);
  return parts.join('  ') || 'not an Auto Scaling message';
}

/** Adds the instance of a message, with the tags that an instance has before such a message. */
function launch({ instances }: Ec2Endpoint, message: Fields, environment: NodeJS.ProcessEnv): void {
  const { LifecycleTransition, Event, EC2InstanceId: id, AutoScalingGroupName: group, Origin } = message;
  if (typeof id !== 'string') return;
  const tags = new Map(typeof group === 'string' ? [['aws:autoscaling:groupName', group]] : []);
  const comesBack = /LAUNCH/.test(`${LifecycleTransition ?? Event}`) && Origin !== 'EC2';
  const { tag } = readSettings(environment);
  if (comesBack) tags.set(tag.key, tag.value);
  instances.set(id, { tags });
}

function settingsIn(environment: NodeJS.ProcessEnv): Record<string, string> {
  return Object.fromEntries(
    SETTING_NAMES.flatMap((name) => (environment[name] === undefined ? [] : [[name, environment[name]]])),
  );
}

/**
 * Describes the tags of instances, one line for each instance.
 * @throws Error with the endpoint, the HTTP status if there is one, and the SDK's error.
 */
async function describeTags(client: EC2Client, url: string, ids: string[], signal: AbortSignal): Promise<string[]> {
  // EC2 refuses a filter without values.
  if (ids.length === 0) return [];
  const tags = new Map<string | undefined, string>();
  const abortSignal = AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]);
  try {
    const command = new DescribeInstancesCommand({ Filters: [{ Name: 'instance-id', Values: ids }] });
    const { Reservations, $metadata } = await client.send(command, { abortSignal });
    // EC2 always sends a list, even an empty one. The SDK reads other HTML or XML as an answer without a list.
    if (!Reservations) throw Object.assign(new Error('the answer has no list of instances'), { $metadata });
    for (const { InstanceId, Tags = [] } of Reservations.flatMap(({ Instances = [] }) => Instances)) {
      tags.set(InstanceId, Tags.map(({ Key, Value }) => `${Key}=${Value}`).join('  '));
    }
  } catch (error) {
    const reason: Error & { $metadata?: { httpStatusCode?: number } } = abortSignal.reason ?? error;
    const status = reason.$metadata?.httpStatusCode ? `HTTP status ${reason.$metadata.httpStatusCode}, ` : '';
    // The second line of the message is about the SDK's internals.
    const [message] = reason.message.split('\n');
    throw new Error(`DescribeInstances fails at ${url}: ${status}${reason.name}: ${message}`, { cause: error });
  }
  return ids.map((id) => `${id}  ${tags.get(id) || 'no tags'}`);
}

if (import.meta.main) await runCommand(NAME, main);
