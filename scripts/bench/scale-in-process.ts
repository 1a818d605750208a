// Invokes all copies of the function at the same moment, and ends when the invocations have ended. Each copy evaluates the
// bundle again, to have its own client and retries, as in Lambda.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { compileFunction } from 'node:vm';
import type { Context, SNSEvent } from 'aws-lambda';

/** The message from the parent. */
export interface Assignment {
  readonly path: string;
  /** One event for each copy of the function. */
  readonly events: readonly SNSEvent[];
  readonly timeoutMs: number;
}

type Handler = (event: SNSEvent, context: Context) => Promise<void>;

for (const method of ['info', 'warn', 'error'] as const) console[method] = () => {};
process.once('message', async ({ path, events, timeoutMs }: Assignment) => {
  const evaluate = compileFunction(readFileSync(path, 'utf8'), ['module', 'exports', 'require'], { filename: path });
  const copies = events.map((event) => {
    const module = { exports: {} as { handler: Handler } };
    evaluate(module, module.exports, createRequire(path));
    return { event, handler: module.exports.handler };
  });
  const deadline = Date.now() + timeoutMs;
  const context = {
    invokedFunctionArn: `arn:aws:lambda:${process.env.AWS_REGION}:123456789012:function:remove-from-lb`,
    getRemainingTimeInMillis: () => deadline - Date.now(),
  } as Context;
  await Promise.allSettled(copies.map(({ event, handler }) => handler(event, context)));
  process.exit();
});
// A parent that was killed cannot end this process.
process.once('disconnect', () => process.exit());
