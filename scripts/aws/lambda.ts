import { fork } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { unzipSync } from 'fflate';
import type { End, LogEntry, Reply, Request } from './lambda-process.ts';

/** How one invocation ended. */
export interface Invocation {
  /** What the function wrote, in order. */
  readonly log: LogEntry[];
  /** What it threw; absent when it succeeded. */
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
  /** Settings beside what Lambda itself sets: `AWS_ENDPOINT_URL`, `TAG_KEY`, credentials … */
  readonly environment?: Readonly<Record<string, string>>;
  /** The function's timeout in milliseconds; 15 s by default. */
  readonly timeoutMs?: number;
  readonly region?: string;
  readonly accountId?: string;
  /** Where the function is unzipped, in a folder of its own; by default the system's folder for temporary files. */
  readonly folder?: string;
}

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
  const { environment = {}, timeoutMs = 15_000, region = 'us-west-2', accountId = '123456789012' } = options;
  const invokedFunctionArn = `arn:aws:lambda:${region}:${accountId}:function:remove-from-lb`;
  const folder = await unzip(zip, options.folder ?? tmpdir());
  const child = fork(fileURLToPath(new URL('lambda-process.ts', import.meta.url)), [], {
    execArgv: LAMBDA_FLAGS,
    env: { ...lambdaEnvironment(region), LAMBDA_TASK_ROOT: folder, ...environment },
  });
  let log: LogEntry[] = [];
  let end = Promise.withResolvers<End>();
  child.on('message', (reply: Reply) => {
    if ('log' in reply) log.push(reply.log);
    else end.resolve(reply);
  });
  const exited = once(child, 'exit').then(([code, signal]) => {
    end.reject(new Error(`the function's process ended (${signal ?? `exit code ${code}`})`));
  });

  async function stop(): Promise<void> {
    end.promise.catch(() => {});
    child.kill('SIGKILL');
    await exited;
    // Nobody but root may delete from a read-only folder.
    await chmod(folder, 0o755);
    await rm(folder, { recursive: true, force: true });
  }

  async function invoke(event: unknown): Promise<Invocation> {
    log = [];
    end = Promise.withResolvers<End>();
    const timeout = setTimeout(() => {
      const errorMessage = `Task timed out after ${timeoutMs / 1000} seconds`;
      end.resolve({ error: { errorType: 'Sandbox.Timedout', errorMessage } });
      child.kill('SIGKILL');
    }, timeoutMs);
    const started = performance.now();
    child.send({ event, invokedFunctionArn, timeoutMs } satisfies Request);
    try {
      return { ...(await end.promise), log, ms: performance.now() - started };
    } finally {
      clearTimeout(timeout);
    }
  }

  const { error } = await end.promise;
  if (error) {
    await stop();
    throw new Error(`the function does not start: ${error.errorType}: ${error.errorMessage}`);
  }
  return { invoke, stop };
}

async function unzip(zip: Uint8Array, parent: string): Promise<string> {
  const folder = await mkdtemp(join(parent, 'remove-from-lb-'));
  for (const [name, content] of Object.entries(unzipSync(zip))) {
    await writeFile(join(folder, name), content, { mode: 0o444 });
  }
  await chmod(folder, 0o555);
  return folder;
}
