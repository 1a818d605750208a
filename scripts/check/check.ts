import { once } from 'node:events';
import { createInterface } from 'node:readline/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { styleText } from 'node:util';
import { bundle } from '../bundle.ts';
import { parseOptions, runCommand, type Terminal } from '../command.ts';
import { type Clients, makeClients } from './clients.ts';
import { checkConcurrency } from './concurrency.ts';
import { type Clock, drill } from './drill.ts';
import { checkFailureQueue } from './failure-queue.ts';
import { checkFunction } from './function.ts';
import { findGroups } from './groups.ts';
import { checkHookRoles } from './hook-role.ts';
import { checkHooks } from './hooks.ts';
import { checkInstances } from './instances.ts';
import { checkLastTagged } from './last-tagged.ts';
import { type Link, textOf } from './link.ts';
import { checkReturn } from './return-to-service.ts';
import { readStack, type Stack } from './stack.ts';
import { checkSubscription } from './subscription.ts';
import { checkTopic } from './topic.ts';
import { checkWaitingTime } from './waiting-time.ts';

const NAME = 'npm run check';
const USAGE = `npm run check -- --stack NAME [options]
  --stack NAME          the stack that was deployed from template.yaml
  --group GROUP         only this Auto Scaling group (may be repeated); without it every group with a hook to the topic
  --json                prints the links as JSON, and nothing else, on standard output
  --drill INSTANCE      after the check, has Auto Scaling replace this instance, and shows what happens to it
  --haproxy SOURCE      a stats socket, or the URL of the statistics as CSV (…;csv), that the drill looks at (may be
                        repeated)
  --yes                 does not ask before the drill; a broken link prevents the drill
  --force               with --yes: starts the drill although a link is broken

Only the drill changes anything. Exit code 0: no link is broken; 1: one is, or the drill failed; 2: it could not be run.`;

/** What the command needs beyond a terminal; tests replace it. */
export interface Surroundings {
  /** Undefined when nobody can answer. */
  readonly ask: ((question: string) => Promise<string>) | undefined;
  readonly clock: Clock;
  /** @returns the hash of this checkout's bundle, as Lambda's `CodeSha256` shows it. */
  readonly localSha256: () => Promise<string>;
}

function surroundingsOf({ signal }: Terminal): Surroundings {
  return {
    ask: process.stdin.isTTY ? (question) => askUser(question, signal) : undefined,
    clock: {
      now: () => performance.now(),
      sleep: (ms) => sleep(ms, undefined, { signal }),
    },
    localSha256: async () => (await bundle()).sha256,
  };
}

/** @returns an empty answer when the input ends. */
export async function askUser(
  question: string,
  signal: AbortSignal,
  input: NodeJS.ReadableStream = process.stdin,
): Promise<string> {
  // Without `terminal: false`, readline would keep Ctrl-C to itself.
  using prompt = createInterface({ input, output: process.stderr, terminal: false });
  // Ctrl-D closes the prompt and leaves the question open.
  const noAnswer = once(prompt, 'close').then(() => '');
  return await Promise.race([prompt.question(question, { signal }), noAnswer]);
}

export async function main(
  args: readonly string[],
  environment: NodeJS.ProcessEnv,
  terminal: Terminal,
  { ask, clock, localSha256 }: Surroundings = surroundingsOf(terminal),
): Promise<number> {
  const options = readOptions(args, environment);
  if (options === undefined) {
    terminal.out(USAGE);
    return 0;
  }
  const { instance, json, yes, force } = options;
  if (instance !== undefined && !yes && ask === undefined) {
    throw new Error('--drill asks before it terminates an instance, and there is no terminal; --yes goes without');
  }
  const clients = await makeClients(environment, terminal.signal);
  const { links, stack, tag } = await examineChain(clients, options, localSha256).catch((error) => {
    throw new Error(whyNotExamined(error, environment), { cause: error });
  });
  if (json) terminal.out(JSON.stringify({ links }));
  else for (const line of linesOf(links)) terminal.out(line);
  const isBroken = links.some(({ state }) => state === 'broken');
  if (instance === undefined) return isBroken ? 1 : 0;

  if (stack === undefined || tag === undefined) throw new Error('--drill needs the stack, which cannot be read');
  if (isBroken && yes && !force) {
    terminal.err(
      'nothing was terminated, because a link of the chain is broken; --force starts the drill all the same',
    );
    return 1;
  }
  const isDrained = await drill(instance, {
    ...clients,
    topicArn: stack.topicArn,
    tag,
    haproxies: options.haproxies,
    isAgreed: async (question) => {
      const warning = isBroken ? 'A link of the chain is broken. ' : '';
      const answer = yes ? 'yes' : await ask?.(`${warning}${question} [y/N] `);
      return /^y(es)?$/i.test(answer ?? '');
    },
    say: json ? terminal.err : terminal.out,
    warn: terminal.err,
    signal: terminal.signal,
    clock,
  });
  if (isDrained === undefined) terminal.err('nothing was terminated');
  return isBroken || isDrained === false ? 1 : 0;
}

interface Options {
  readonly stack: string;
  readonly groups: readonly string[];
  readonly json: boolean;
  readonly instance: string | undefined;
  readonly haproxies: readonly string[];
  readonly yes: boolean;
  readonly force: boolean;
}

/**
 * @returns undefined if the user asked for help.
 * @throws Error that names the option.
 */
function readOptions(args: readonly string[], environment: NodeJS.ProcessEnv): Options | undefined {
  const { values } = parseOptions(NAME, environment, {
    args: [...args],
    options: {
      stack: { type: 'string' },
      group: { type: 'string', multiple: true, default: [] },
      json: { type: 'boolean', default: false },
      drill: { type: 'string' },
      haproxy: { type: 'string', multiple: true, default: [] },
      yes: { type: 'boolean', default: false },
      force: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return undefined;
  if (!values.stack) throw new Error(`--stack is absent; expected ${NAME} -- --stack NAME`);
  if (values.drill === undefined && (values.haproxy.length > 0 || values.yes || values.force)) {
    throw new Error('--haproxy, --yes and --force belong to --drill INSTANCE, which is absent');
  }
  return {
    stack: values.stack,
    groups: values.group,
    json: values.json,
    instance: values.drill,
    haproxies: values.haproxy,
    yes: values.yes,
    force: values.force,
  };
}

async function examineChain(
  clients: Clients,
  { stack: name, groups: named }: Options,
  localSha256: () => Promise<string>,
) {
  const { link, stack } = await readStack(clients.cloudFormation, name);
  if (stack === undefined) return { links: [link] };
  const { autoScaling, cloudWatch, ec2, iam, kms, lambda, sns, sqs } = clients;
  const topic = await checkTopic(sns, kms, stack);
  const fn = await checkFunction(lambda, stack, localSha256);
  const tag = fn.settings?.tag ?? tagOf(stack);
  const { links: groupLinks, groups } = await findGroups(autoScaling, stack, named);
  const links: Link[] = [
    link,
    ...topic.links,
    ...(await checkSubscription(sns, stack)),
    ...fn.links,
    ...(await checkFailureQueue(sqs, cloudWatch, stack)),
    ...(await checkLastTagged(cloudWatch, stack)),
    ...groupLinks,
  ];
  for (const group of groups) {
    links.push(
      ...checkHooks(stack, group),
      ...(await checkHookRoles(iam, stack, topic, group)),
      ...checkWaitingTime(stack, fn, group),
      ...(await checkReturn(autoScaling, stack, group)),
      ...(await checkConcurrency(lambda, stack, group)),
      ...(await checkInstances(autoScaling, ec2, stack, tag, group)),
    );
  }
  return { links, stack, tag };
}

function whyNotExamined(error: Error, { AWS_ENDPOINT_URL: url }: NodeJS.ProcessEnv): string {
  // The SDK's errors have metadata, which has a status if there was an answer.
  if (!('$metadata' in error)) return textOf(error);
  const { httpStatusCode: status } = error.$metadata as { httpStatusCode?: number };
  if (status === undefined) return `${url || 'AWS'} cannot be reached: ${textOf(error)}`;
  return url ? `${url} answers with HTTP status ${status}: ${textOf(error)}` : textOf(error);
}

/** The tag that the stack was deployed with, where the function's own settings cannot be read. */
function tagOf({ parameters: { TagKey: key = '', TagValue: value = '' } }: Stack) {
  return { key, value };
}

const COLORS = { ok: 'green', broken: 'red', unknown: 'yellow' } as const;

function linesOf(links: readonly Link[]): string[] {
  const places = links.map(({ link, group }) => (group === null ? link : `${group}: ${link}`));
  const width = Math.max(...places.map((place) => place.length));
  return links.flatMap(({ state, found, mend }, index) => {
    const place = styleText('bold', (places[index] ?? '').padEnd(width));
    const line = `${styleText(COLORS[state], state.padEnd(7))}  ${place}  ${found}`;
    return mend === null ? [line] : [line, `         ${styleText('dim', 'mend:')} ${mend}`];
  });
}

if (import.meta.main) await runCommand(NAME, main, 2);
