import { once } from 'node:events';
import { createInterface } from 'node:readline/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { bundle } from '../bundle.ts';
import { parseOptions, printable, runCommand, type Terminal } from '../command.ts';
import { type Clients, makeClients } from './clients.ts';
import { type Clock, drill } from './drill.ts';
import { textOf } from './facts/fact.ts';
import { type Facts, readFacts } from './facts/facts.ts';
import { readCloudFormation, stackOf } from './facts/stack.ts';
import { judge } from './judges/judges.ts';
import { judgeStack } from './judges/stack.ts';
import type { Link } from './link.ts';
import { jsonOf, linesOf } from './print.ts';

const NAME = 'npm run check';
const USAGE = `npm run check -- --stack NAME [options]
  --stack NAME          the stack that was deployed from template.yaml
  --group GROUP         only this Auto Scaling group (may be repeated); without it every group with a hook to the topic
  --json                print only the links, as JSON, on standard output
  --drill INSTANCE      after the check, let Auto Scaling replace this instance and show what happens to it
  --haproxy SOURCE      for the drill: a stats socket, or the URL of the statistics as CSV (…;csv); may be repeated
  --yes                 do not ask before the drill; a broken link prevents the drill
  --force               with --yes: start the drill although a link is broken

Only the drill changes anything. Exit code 0: every link is ok; 1: a link is broken, or the drill failed; 3: no link is
broken, but one could not be looked at; 2: the command could not run.`;

/** Needs of the command beyond a terminal; tests replace them. */
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
  if (options.help) {
    terminal.out(USAGE);
    return 0;
  }
  const { drill: instance, json, yes, force } = options;
  if (instance !== undefined && !yes && ask === undefined) {
    throw new Error(
      '--drill asks before it terminates an instance, but there is no terminal; --yes skips the question',
    );
  }
  const clients = await makeClients(environment, terminal.signal);
  const { links, facts } = await check(clients, options, localSha256).catch((error) => {
    throw new Error(whyNotChecked(error, environment), { cause: error });
  });
  for (const line of json ? [jsonOf(links)] : linesOf(links)) terminal.out(line);
  const isBroken = links.some(({ state }) => state === 'broken');
  const exitCode = isBroken ? 1 : links.some(({ state }) => state === 'unknown') ? 3 : 0;
  if (instance === undefined) return exitCode;

  if (facts === undefined) throw new Error('--drill needs the stack, which cannot be read');
  if (isBroken && yes && !force) {
    terminal.err('nothing was terminated, because a link is broken; --force starts the drill all the same');
    return 1;
  }
  const isDrained = await drill(instance, {
    clients,
    facts,
    haproxies: options.haproxy,
    isAgreed: async (question) => {
      const warning = isBroken ? 'A link of the chain is broken. ' : '';
      const answer = yes ? 'yes' : await ask?.(printable(`${warning}${question} [y/N] `));
      return /^y(es)?$/i.test(answer ?? '');
    },
    say: (line) => (json ? terminal.err : terminal.out)(printable(line)),
    terminal,
    clock,
  });
  if (isDrained === undefined) terminal.err('nothing was terminated');
  return isDrained === false ? 1 : exitCode;
}

/** @throws Error that names the option. */
function readOptions(args: readonly string[], environment: NodeJS.ProcessEnv) {
  const { values } = parseOptions(NAME, environment, {
    args: [...args],
    options: {
      stack: { type: 'string', default: '' },
      group: { type: 'string', multiple: true, default: [] },
      json: { type: 'boolean', default: false },
      drill: { type: 'string' },
      haproxy: { type: 'string', multiple: true, default: [] },
      yes: { type: 'boolean', default: false },
      force: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return values;
  if (!values.stack) throw new Error(`--stack is absent; expected ${NAME} -- --stack NAME`);
  if (values.drill === undefined && (values.haproxy.length > 0 || values.yes || values.force)) {
    throw new Error('--haproxy, --yes and --force belong to --drill INSTANCE, which is absent');
  }
  return values;
}

async function check(
  clients: Clients,
  { stack: name, group }: { readonly stack: string; readonly group: readonly string[] },
  localSha256: () => Promise<string>,
): Promise<{ links: readonly Link[]; facts?: Facts }> {
  const deployment = await readCloudFormation(clients, name);
  const stack = stackOf(deployment);
  if (stack === undefined) return { links: [{ link: 'stack', group: null, ...judgeStack({ deployment }) }] };
  const facts = await readFacts(clients, deployment, stack, group, localSha256);
  return { links: judge(facts), facts };
}

function whyNotChecked(error: Error, { AWS_ENDPOINT_URL: url }: NodeJS.ProcessEnv): string {
  // The SDK's errors have metadata, with a status if there was an answer.
  if (!('$metadata' in error)) return textOf(error);
  const { httpStatusCode: status } = error.$metadata as { httpStatusCode?: number };
  if (status === undefined) return `${url || 'AWS'} cannot be reached: ${textOf(error)}`;
  return url ? `${url} answers with HTTP status ${status}: ${textOf(error)}` : textOf(error);
}

if (import.meta.main) await runCommand(NAME, main, 2);
