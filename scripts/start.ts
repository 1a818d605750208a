import { parseArgs, styleText } from 'node:util';
import { readMessage } from '../src/lifecycle-message.ts';
import { readSettings, SETTING_NAMES } from '../src/settings.ts';
import { type Ec2Endpoint, startEc2Endpoint } from './aws/ec2-endpoint.ts';
import { startLambda } from './aws/lambda.ts';
import { bundle } from './bundle.ts';
import { connect, credentialsOf, describeTags } from './start/ec2.ts';
import { type EventFile, readEventFile } from './start/event-file.ts';
import { fieldsOf, summaryOf } from './start/message-fields.ts';

const SAMPLE = 'test/events/terminating.json';
const USAGE = `npm start [-- FILE…]
Runs the bundled function on SNS events, and shows the tags of their instances before and after.
  FILE                   an SNS event as Lambda gets it, in JSON; ${SAMPLE} by default

Environment:
  AWS_ENDPOINT_URL       the EC2 endpoint to use, such as an emulator's; unset: one of the project's own, in memory
  AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY
                         the credentials for AWS_ENDPOINT_URL
  ${SETTING_NAMES.join(', ')}
                         settings of the function`;

try {
  const { values, positionals } = parseArgs({
    options: { help: { type: 'boolean', default: false } },
    allowPositionals: true,
  });
  if (values.help) console.log(USAGE);
  else await main(positionals.length > 0 ? positionals : [SAMPLE]);
} catch (error) {
  console.error(styleText('red', `npm start: ${error instanceof Error ? error.message : error}`));
  process.exitCode = 1;
}

async function main(files: string[]): Promise<void> {
  // All are read before the first is run, so that a mistake in the last name does not come half-way.
  const events = await Promise.all(files.map(readEventFile));
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

async function run(zip: Uint8Array, { file, event, region, accountId }: EventFile, url: string, own?: Ec2Endpoint) {
  const messages = event.Records.map(({ Sns }) => fieldsOf(Sns.Message));
  const ids = messages.flatMap(({ EC2InstanceId: id }) => (typeof id === 'string' && id ? [id] : []));
  if (own) for (const { Sns } of event.Records) launch(own, Sns.Message);

  const client = connect(url, region, own && { accessKeyId: 'local', secretAccessKey: 'local' });
  const credentials = await credentialsOf(client, url);
  const tags = async () => (ids.length > 0 ? await describeTags(client, url, ids) : ['no instance named']);
  const before = await tags();
  const environment = { AWS_ENDPOINT_URL: url, ...credentials, ...settings() };
  const lambda = await startLambda(zip, { region, accountId, environment });
  try {
    console.log(`\n${styleText('bold', file)}`);
    for (const fields of messages) show('message', summaryOf(fields));
    show('before', ...before);
    const { log, error, ms } = await lambda.invoke(event);
    for (const { level, message } of log) show('logged', `${level} ${JSON.stringify(message)}`);
    show('after', ...(await tags()));
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

function show(label: string, ...lines: string[]): void {
  console.log(`  ${styleText('dim', label.padEnd(8))}${lines.join(`\n${' '.repeat(10)}`)}`);
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

/** The function's own settings, handed on when they are set here. */
function settings(): Record<string, string> {
  return Object.fromEntries(
    SETTING_NAMES.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]])),
  );
}
