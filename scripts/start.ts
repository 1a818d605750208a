import { fileURLToPath } from 'node:url';
import { styleText } from 'node:util';
import { idsOf, parseMessage, requestOf } from '../src/lifecycle-message.ts';
import { readSettings, SETTING_NAMES } from '../src/settings.ts';
import { findCredentials, readEndpointUrl } from './aws-endpoint.ts';
import { bundle } from './bundle.ts';
import { parseOptions, runCommand, type Terminal } from './command.ts';
import { type Ec2Endpoint, startEc2Endpoint } from './local-aws/ec2-endpoint.ts';
import { startLambda } from './local-aws/lambda.ts';
import { connect, describeTags } from './start/ec2.ts';
import { type EventFile, readEventFile } from './start/event-file.ts';
import { fieldsOf, summaryOf } from './start/message-fields.ts';

const PROJECT = fileURLToPath(new URL('..', import.meta.url));
const SAMPLE = 'test/events/terminating.json';
const USAGE = `npm start [-- FILE…]
Runs the bundled function on SNS events, and shows the tags of their instances before and after.
  FILE                   an SNS event as Lambda gets it, in JSON; - reads standard input; by default ${SAMPLE}

Environment:
  AWS_ENDPOINT_URL       the EC2 endpoint to use, such as an emulator's; unset: one of the project's own, in memory
  AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY
                         the credentials for AWS_ENDPOINT_URL
  ${SETTING_NAMES.join(', ')}
                         settings of the function`;

/** The surroundings of every run of the function. */
interface Setup {
  readonly zip: Uint8Array;
  readonly url: string;
  /** The project's own endpoint, unless the user named another one. */
  readonly own: Ec2Endpoint | undefined;
  /** The SDK itself finds credentials in `process.env`. */
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
  const { values, positionals } = parseOptions('npm start', environment, {
    args: [...args],
    options: { help: { type: 'boolean', default: false } },
    allowPositionals: true,
  });
  if (values.help) {
    terminal.out(USAGE);
    return 0;
  }
  // npm changes to the project's folder. A relative FILE belongs to the folder where the user called npm.
  const folder = positionals.length > 0 ? (environment.INIT_CWD ?? process.cwd()) : PROJECT;
  // All files are read before the first one runs, so that a wrong last name shows at once.
  const files: EventFile[] = [];
  for (const name of positionals.length > 0 ? positionals : [SAMPLE]) {
    files.push(await readEventFile(name, folder, terminal.signal));
  }
  const given = readEndpointUrl(environment);
  const { zip } = await makeBundle();

  await using started = new AsyncDisposableStack();
  const own = given === undefined ? await startEc2Endpoint() : undefined;
  started.defer(() => own?.close());
  const url = own?.url ?? given ?? '';
  terminal.out(`function  as npm run bundle zips it, ${zip.length} bytes`);
  terminal.out(`EC2       ${url}${own ? ", the project's own endpoint, in memory" : ', from AWS_ENDPOINT_URL'}`);
  let exitCode = 0;
  for (const file of files) {
    if (!(await run(file, { zip, url, own, environment, terminal }))) exitCode = 1;
  }
  return exitCode;
}

/** @returns whether the function succeeded. */
async function run({ name, event, region, accountId }: EventFile, setup: Setup): Promise<boolean> {
  const { zip, url, own, environment, terminal } = setup;
  const { signal } = terminal;
  const show = (label: string, ...lines: string[]) =>
    terminal.out(`  ${styleText('dim', label.padEnd(8))}${lines.join(`\n${' '.repeat(10)}`)}`);

  const messages = event.Records.map(({ Sns }) => fieldsOf(Sns.Message));
  const ids = messages.flatMap(({ EC2InstanceId: id }) => (typeof id === 'string' && id ? [id] : []));
  if (own) for (const { Sns } of event.Records) launch(own, Sns.Message, environment);

  await using started = new AsyncDisposableStack();
  const client = connect(url, region, own && { accessKeyId: 'local', secretAccessKey: 'local' });
  started.defer(() => client.destroy());
  const tags = async () => (ids.length > 0 ? await describeTags(client, url, ids, signal) : ['no instance named']);
  const credentials = await findCredentials(() => client.config.credentials(), environment);
  const before = await tags();
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
    signal,
  });
  started.defer(() => lambda.stop());

  terminal.out(`\n${styleText('bold', name)}`);
  for (const fields of messages) show('message', summaryOf(fields));
  show('before', ...before);
  const { log, error, ms } = await lambda.invoke(event);
  for (const { level, message } of log) show('logged', `${level} ${JSON.stringify(message)}`);
  show('after', ...(await tags()));
  if (error) show('failed', styleText('red', `${error.errorType}: ${error.errorMessage}`));
  show('took', `${ms.toFixed(0)} ms`);
  return error === undefined;
}

/** Gives the project's own endpoint the instance that a message names, in the state that comes before such a message. */
function launch({ instances }: Ec2Endpoint, text: string, environment: NodeJS.ProcessEnv): void {
  const { instanceId, autoScalingGroupName } = idsOf(fieldsOf(text));
  if (instanceId === undefined || instances.has(instanceId)) return;
  const tags = new Map(autoScalingGroupName ? [['aws:autoscaling:groupName', autoScalingGroupName]] : []);
  const { tag } = readSettings(environment);
  if (clearsTag(text)) tags.set(tag.key, tag.value);
  instances.set(instanceId, { tags });
}

function clearsTag(text: string): boolean {
  try {
    return requestOf(parseMessage(text)).action === 'clear-tag';
  } catch {
    // The function itself reports a message that is invalid.
    return false;
  }
}

function settingsIn(environment: NodeJS.ProcessEnv): Record<string, string> {
  return Object.fromEntries(
    SETTING_NAMES.flatMap((name) => (environment[name] === undefined ? [] : [[name, environment[name]]])),
  );
}

if (import.meta.main) await runCommand('npm start', main);
