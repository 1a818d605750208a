import type { Context } from 'aws-lambda';
import { vi } from 'vitest';

/** The result of an invocation: the log lines in order, and the error. */
export interface Outcome {
  readonly log: { level: 'info' | 'warn' | 'error'; line: Record<string, unknown> }[];
  readonly error: unknown;
}

export const FUNCTION_ARN = 'arn:aws:lambda:us-west-2:123456789012:function:remove-from-lb';

/** Loads the function anew, as a cold start does, and returns a way to call the function. */
export async function coldStart(environment: Record<string, string> = {}) {
  vi.unstubAllEnvs();
  const lambdas = { AWS_REGION: 'us-west-2', AWS_ACCESS_KEY_ID: 'AKIAEXAMPLE', AWS_SECRET_ACCESS_KEY: 'secret' };
  for (const [name, value] of Object.entries({ ...lambdas, ...environment })) vi.stubEnv(name, value);
  vi.resetModules();
  const { handler } = await import('../../src/handler.ts');
  return async (event: unknown, { timeoutMs = 15_000, arn = FUNCTION_ARN } = {}): Promise<Outcome> => {
    const log: Outcome['log'] = [];
    const spies = (['info', 'warn', 'error'] as const).map((level) =>
      vi.spyOn(console, level).mockImplementation((line) => void log.push({ level, line })),
    );
    const deadline = Date.now() + timeoutMs;
    const context = { invokedFunctionArn: arn, getRemainingTimeInMillis: () => deadline - Date.now() };
    try {
      await handler(event as Parameters<typeof handler>[0], context as Context);
      return { log, error: undefined };
    } catch (error) {
      return { log, error };
    } finally {
      for (const spy of spies) spy.mockRestore();
    }
  };
}

/** Loads the function with its default settings, and calls the function once. */
export async function invoke(event: unknown, options?: { timeoutMs?: number; arn?: string }): Promise<Outcome> {
  return (await coldStart())(event, options);
}
