import { createInterface } from 'node:readline/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs, styleText } from 'node:util';
import { bundle } from './bundle.ts';
import { type Clients, makeClients } from './check/clients.ts';
import { checkConcurrency } from './check/concurrency.ts';
import { type Clock, drill } from './check/drill.ts';
import { checkFailureQueue } from './check/failure-queue.ts';
import { checkFunction } from './check/function.ts';
import { findGroups } from './check/groups.ts';
import { checkHookRoles } from './check/hook-role.ts';
import { checkHooks } from './check/hooks.ts';
import { checkInstances } from './check/instances.ts';
import { checkLastTagged } from './check/last-tagged.ts';
import { type Link, textOf } from './check/link.ts';
import { checkReturn } from './check/return-to-service.ts';
import { readStack, type Stack } from './check/stack.ts';
import { checkSubscription } from './check/subscription.ts';
import { checkTopic } from './check/topic.ts';
import { checkWaitingTime } from './check/waiting-time.ts';

const USAGE = `npm run check -- --stack NAME [options]
  --stack NAME          the stack that was deployed from template.yaml
  --group GROUP         only this Auto Scaling group, and others so named; without it every group with a hook to the topic
  --json                prints the links as JSON, and nothing else, on standard output
  --drill INSTANCE      after the check, has Auto Scaling replace this instance, and shows what happens to it
  --haproxy SOURCE      a stats socket, or the URL of the statistics as CSV (…;csv), that the drill looks at; several times
                        for several load balancers
  --yes                 does not ask before the drill

Only the drill changes anything. Exit code 0: no link is broken; 1: one is, or the drill failed; 2: it could not be run.`;

/** What the command talks to. */
export interface Terminal {
  readonly out: (line: string) => void;
  readonly err: (line: string) => void;
  /** Undefined where nobody can answer. */
  readonly ask: ((question: string) => Promise<string>) | undefined;
  /** From now on an interruption ends a sleep, and no longer the process. */
  readonly catchInterrupt: () => void;
  readonly clock: Clock;
}

/**
 * Runs the command.
 * @param localSha256 gives the hash of this checkout's bundle, as Lambda's `CodeSha256` shows it.
 * @returns its exit code.
 */
export async function check(
  args: readonly string[],
  terminal: Terminal,
  localSha256 = async () => (await bundle()).sha256,
): Promise<number> {
  try {
    const settings = readSettings(args);
    if (settings === undefined) {
      terminal.out(USAGE);
      return 0;
    }
    return await run(settings, terminal, localSha256);
  } catch (error) {
    terminal.err(styleText('red', `npm run check: ${textOf(error)}`, { stream: process.stderr }));
    return 2;
  }
}

interface Settings {
  readonly stack: string;
  readonly groups: readonly string[];
  readonly json: boolean;
  readonly instance: string | undefined;
  readonly haproxies: readonly string[];
  readonly yes: boolean;
}

/**
 * @returns undefined when it is help that is asked for.
 * @throws Error that names the option.
 */
function readSettings(args: readonly string[]): Settings | undefined {
  const { values } = parseArgs({
    args: [...args],
    options: {
      stack: { type: 'string' },
      group: { type: 'string', multiple: true, default: [] },
      json: { type: 'boolean', default: false },
      drill: { type: 'string' },
      haproxy: { type: 'string', multiple: true, default: [] },
      yes: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return undefined;
  if (!values.stack) throw new Error('--stack is absent; expected the name of the stack (--help shows all options)');
  if (values.drill === undefined && (values.haproxy.length > 0 || values.yes)) {
    throw new Error('--haproxy and --yes belong to --drill INSTANCE, which is absent');
  }
  return {
    stack: values.stack,
    groups: values.group,
    json: values.json,
    instance: values.drill,
    haproxies: values.haproxy,
    yes: values.yes,
  };
}

async function run(settings: Settings, terminal: Terminal, localSha256: () => Promise<string>): Promise<number> {
  const { instance, json, yes } = settings;
  if (instance !== undefined && !yes && terminal.ask === undefined) {
    throw new Error('--drill asks before it terminates an instance, and there is no terminal; --yes goes without');
  }
  const clients = await makeClients();
  const { links, stack, tag } = await examineChain(clients, settings, localSha256);
  if (json) terminal.out(JSON.stringify({ links }));
  else for (const line of linesOf(links)) terminal.out(line);
  const isBroken = links.some(({ state }) => state === 'broken');
  if (instance === undefined) return isBroken ? 1 : 0;

  if (stack === undefined || tag === undefined) throw new Error('--drill needs the stack, which cannot be read');
  const isDrained = await drill(instance, {
    ...clients,
    topicArn: stack.topicArn,
    tag,
    haproxies: settings.haproxies,
    isAgreed: async (question) => {
      const warning = isBroken ? 'A link of the chain is broken. ' : '';
      const answer = yes ? 'yes' : await terminal.ask?.(`${warning}${question} [y/N] `);
      if (!/^y(es)?$/i.test(answer ?? '')) return false;
      terminal.catchInterrupt();
      return true;
    },
    say: json ? terminal.err : terminal.out,
    clock: terminal.clock,
  });
  if (isDrained === undefined) terminal.err('nothing was terminated');
  return isBroken || isDrained === false ? 1 : 0;
}

async function examineChain(
  clients: Clients,
  { stack: name, groups: named }: Settings,
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

if (import.meta.main) {
  const interruption = new AbortController();
  const { signal } = interruption;
  const ask = async (question: string) => {
    const prompt = createInterface({ input: process.stdin, output: process.stderr });
    prompt.once('SIGINT', () => interruption.abort());
    try {
      return await prompt.question(question, { signal });
    } catch {
      return '';
    } finally {
      prompt.close();
    }
  };
  process.exitCode = await check(process.argv.slice(2), {
    out: console.log,
    err: console.error,
    ask: process.stdin.isTTY ? ask : undefined,
    catchInterrupt: () => process.once('SIGINT', () => interruption.abort()),
    clock: {
      now: () => performance.now(),
      sleep: (ms) =>
        sleep(ms, undefined, { signal }).catch(() => {
          throw new Error('interrupted');
        }),
    },
  });
  if (signal.aborted) process.exitCode = 130;
}
