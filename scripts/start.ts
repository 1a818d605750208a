import { fileURLToPath } from 'node:url';
import { styleText } from 'node:util';
import { readSettings, SETTING_NAMES } from '../src/settings.ts';
import { findCredentials, readEndpointUrl } from './aws-endpoint.ts';
import { bundle } from './bundle.ts';
import { parseOptions, runCommand, type Terminal } from './command.ts';
import { type Ec2Endpoint, startEc2Endpoint } from './local-aws/ec2-endpoint.ts';
import { startLambda } from './local-aws/lambda.ts';
import { connect, describeTags } from './start/ec2.ts';
import { type EventFile, readEventFile } from './start/event-file.ts';

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
  const files: EventFile[] = [];
  // npm changes to the project's folder, but a relative FILE belongs to the folder where the user called npm.
  const folder = environment.INIT_CWD ?? process.cwd();
  for (const name of positionals) files.push(await readEventFile(name, folder, terminal.signal));
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

/** @returns whether the function succeeded. */
async function run({ name, event, region, accountId }: EventFile, setup: Setup): Promise<boolean> {
  const { zip, url, localEc2, environment, terminal } = setup;
  const messages = event.Records.map(({ Sns }) => fieldsOf(Sns.Message));
  const ids = messages.flatMap(({ EC2InstanceId: id }) => (typeof id === 'string' && id ? [id] : []));
  if (localEc2) for (const message of messages) launch(localEc2, message, environment);

  await using started = new AsyncDisposableStack();
  const client = connect(url, region, localEc2 && { accessKeyId: 'local', secretAccessKey: 'local' });
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

  function show(label: string, lines: readonly string[]): void {
    for (const [n, line] of lines.entries()) {
      terminal.out(`  ${styleText('dim', (n === 0 ? label : '').padEnd(9))}${line}`);
    }
  }
  terminal.out(`\n${styleText('bold', name)}`);
  show('message', messages.map(summaryOf));
  show('before', before);
  const { log, error } = await lambda.invoke(event);
  for (const { level, message } of log) show('log', [`${level} ${JSON.stringify(message)}`]);
  show('after', await describeTags(client, url, ids, terminal.signal));
  if (error) show('failed', [styleText('red', `${error.errorType}: ${error.errorMessage}`)]);
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

if (import.meta.main) await runCommand(NAME, main);
