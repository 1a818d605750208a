import { fork } from 'node:child_process';
import { addAbortListener, once } from 'node:events';
import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { unzipSync } from 'fflate';
import { temporaryFolder } from '../temporary-folder.ts';
import type { End, LogEntry, Reply, Request } from './lambda-process.ts';

/** How one invocation ended. */
export interface Invocation {
  /** The function's log, in order. */
  readonly log: LogEntry[];
  /** The error that the function threw; absent when the function succeeded. */
  readonly error?: { readonly errorType: string; readonly errorMessage: string };
  /** Milliseconds from the call to its end. */
  readonly ms: number;
}

/** A running copy of the function, as one execution environment of Lambda is. */
export interface LambdaProcess {
  /** Calls the function; one call at a time. */
  invoke(event: unknown): Promise<Invocation>;
  stop(): Promise<void>;
}

export interface LambdaOptions {
  /** Settings besides those that Lambda itself sets: `AWS_ENDPOINT_URL`, `TAG_KEY`, credentials … */
  readonly environment?: Readonly<Record<string, string>>;
  /** The function's timeout in milliseconds; by default the timeout in template.yaml. */
  readonly timeoutMs?: number;
  readonly region?: string;
  readonly accountId?: string;
  /** Ends the start or the invocation that is in progress; both then throw the signal's reason. */
  readonly signal?: AbortSignal;
}

/** The function's timeout in template.yaml. */
export const FUNCTION_TIMEOUT_MS = 120_000;

const READ_ONLY = 0o555;
// Only root may delete files from a read-only folder.
const WRITABLE = 0o755;

/**
 * What Lambda sets for a function in a region, as far as the function can see it.
 * https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
 */
export function lambdaEnvironment(region: string): Record<string, string> {
  return {
    AWS_REGION: region,
    AWS_DEFAULT_REGION: region,
    AWS_ACCESS_KEY_ID: 'AKIAIOSFODNN7EXAMPLE',
    AWS_SECRET_ACCESS_KEY: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
    AWS_SESSION_TOKEN: 'session',
    AWS_EXECUTION_ENV: 'AWS_Lambda_nodejs24.x',
    AWS_LAMBDA_FUNCTION_NAME: 'remove-from-lb',
    AWS_LAMBDA_FUNCTION_VERSION: '$LATEST',
    AWS_LAMBDA_INITIALIZATION_TYPE: 'on-demand',
    AWS_LAMBDA_LOG_FORMAT: 'JSON',
    LANG: 'en_US.UTF-8',
    TZ: ':UTC',
  };
}

/** The flags with which Lambda starts Node. */
export const LAMBDA_FLAGS = ['--no-experimental-require-module', '--no-experimental-detect-module'];

/**
 * Unzips a bundled function into a read-only folder and starts it in a process of its own, with Lambda's flags and
 * nothing in the environment but what Lambda sets.
 * @throws Error when the function does not load.
 */
export async function startLambda(zip: Uint8Array, options: LambdaOptions = {}): Promise<LambdaProcess> {
  const {
    environment = {},
    timeoutMs = FUNCTION_TIMEOUT_MS,
    region = 'us-west-2',
    accountId = '123456789012',
  } = options;
  const { signal = new AbortController().signal } = options;
  const invokedFunctionArn = `arn:aws:lambda:${region}:${accountId}:function:remove-from-lb`;
  await using started = new AsyncDisposableStack();
  const folder = started.use(await temporaryFolder('remove-from-lb-'));
  started.defer(() => chmod(folder.path, WRITABLE));
  await unzip(zip, folder.path);

  const child = fork(fileURLToPath(new URL('lambda-process.ts', import.meta.url)), [], {
    execArgv: LAMBDA_FLAGS,
    env: { ...lambdaEnvironment(region), LAMBDA_TASK_ROOT: folder.path, ...environment },
  });
  let log: LogEntry[] = [];
  let end = Promise.withResolvers<End>();
  child.on('message', (reply: Reply) => {
    if ('log' in reply) log.push(reply.log);
    else end.resolve(reply);
  });
  // A message cannot be sent to a process that has just ended.
  child.on('error', (error) => end.reject(error));
  const exited = once(child, 'exit').then(([code, signalName]) => {
    end.reject(new Error(`the function's process ended (${signalName ?? `exit code ${code}`})`));
  });
  started.defer(async () => {
    child.kill('SIGKILL');
    await exited;
  });
  started.use(addAbortListener(signal, () => end.reject(signal.reason)));

  async function invoke(event: unknown): Promise<Invocation> {
    signal.throwIfAborted();
    if (child.exitCode !== null || child.signalCode !== null) throw new Error("the function's process has ended");
    log = [];
    end = Promise.withResolvers<End>();
    const timeout = setTimeout(() => {
      const errorMessage = `Task timed out after ${timeoutMs / 1000} seconds`;
      end.resolve({ error: { errorType: 'Sandbox.Timedout', errorMessage } });
      child.kill('SIGKILL');
    }, timeoutMs);
    const began = performance.now();
    child.send({ event, invokedFunctionArn, timeoutMs } satisfies Request);
    try {
      return { ...(await end.promise), log, ms: performance.now() - began };
    } finally {
      clearTimeout(timeout);
    }
  }

  const { error } = await end.promise;
  if (error) throw new Error(`the function does not start: ${error.errorType}: ${error.errorMessage}`);
  const all = started.move();
  return { invoke, stop: () => all.disposeAsync() };
}

async function unzip(zip: Uint8Array, folder: string): Promise<void> {
  for (const [name, content] of Object.entries(unzipSync(zip))) {
    await writeFile(join(folder, name), content, { mode: 0o444 });
  }
  await chmod(folder, READ_ONLY);
}
