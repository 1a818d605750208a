import { fork } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { unzipSync } from 'fflate';
import { temporaryFolder } from '../temporary-folder.ts';
import type { EndMessage, InvokeMessage, LogEntry, ProcessMessage } from './lambda-process.ts';

/** The result of one invocation. */
export interface Invocation extends EndMessage {
  /** The function's log, in order. */
  readonly log: LogEntry[];
}

/** One running copy of the function, like one execution environment of Lambda. */
export interface LambdaProcess {
  /** Invokes the function; one invocation at a time. */
  invoke(event: unknown): Promise<Invocation>;
  stop(): Promise<void>;
}

export interface LambdaOptions {
  /** Variables besides those that Lambda sets: `AWS_ENDPOINT_URL`, `TAG_KEY`, credentials … */
  readonly environment?: Readonly<Record<string, string>>;
  /** The function's timeout in milliseconds; by default the timeout in template.yaml. */
  readonly timeoutMs?: number;
  readonly region?: string;
  readonly accountId?: string;
  /** Ends the start or the invocation in progress; both then throw the signal's reason. */
  readonly signal?: AbortSignal;
}

/** The function's timeout in template.yaml. */
export const FUNCTION_TIMEOUT_MS = 120_000;

/** The flags that Lambda starts Node with. */
export const LAMBDA_FLAGS = ['--no-experimental-require-module', '--no-experimental-detect-module'];

/**
 * The environment that Lambda gives a function in a region.
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

/**
 * Unzips a bundled function and starts it in its own process, with Lambda's flags and only Lambda's environment.
 * @throws Error when the function does not load.
 */
export async function startLambda(zip: Uint8Array, options: LambdaOptions = {}): Promise<LambdaProcess> {
  const { environment, timeoutMs = FUNCTION_TIMEOUT_MS, region = 'us-west-2', accountId = '123456789012' } = options;
  const { signal } = options;
  const invokedFunctionArn = `arn:aws:lambda:${region}:${accountId}:function:remove-from-lb`;
  await using started = new AsyncDisposableStack();
  const folder = started.use(await temporaryFolder('remove-from-lb-'));
  for (const [name, content] of Object.entries(unzipSync(zip))) await writeFile(join(folder.path, name), content);

  const child = fork(fileURLToPath(new URL('lambda-process.ts', import.meta.url)), [], {
    execArgv: LAMBDA_FLAGS,
    env: { ...lambdaEnvironment(region), LAMBDA_TASK_ROOT: folder.path, ...environment },
    ...(signal && { signal }),
    killSignal: 'SIGKILL',
  });
  let log: LogEntry[] = [];
  let end = Promise.withResolvers<EndMessage>();
  child.on('message', (message: ProcessMessage) => {
    if ('log' in message) log.push(message.log);
    else end.resolve(message);
  });
  child.on('error', (error) => end.reject(signal?.aborted ? signal.reason : error));
  const exit = Promise.withResolvers<never>();
  child.once('exit', (code, signalName) => {
    exit.reject(new Error(`the function's process ended (${signalName ?? `exit code ${code}`})`));
  });
  started.defer(async () => {
    child.kill('SIGKILL');
    await exit.promise.catch(() => {});
  });

  async function invoke(event: unknown): Promise<Invocation> {
    log = [];
    end = Promise.withResolvers<EndMessage>();
    const timeout = setTimeout(() => {
      const errorMessage = `Task timed out after ${timeoutMs / 1000} seconds`;
      end.resolve({ error: { errorType: 'Sandbox.Timedout', errorMessage } });
      child.kill('SIGKILL');
    }, timeoutMs);
    // Sending fails only when the process has ended. Then 'exit' follows.
    child.send({ event, invokedFunctionArn, timeoutMs } satisfies InvokeMessage, () => {});
    try {
      return { ...(await Promise.race([end.promise, exit.promise])), log };
    } finally {
      clearTimeout(timeout);
    }
  }

  const { error } = await Promise.race([end.promise, exit.promise]);
  if (error) throw new Error(`the function does not start: ${error.errorType}: ${error.errorMessage}`);
  const all = started.move();
  return { invoke, stop: () => all.disposeAsync() };
}
