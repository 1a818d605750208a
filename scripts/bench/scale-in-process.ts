// Holds a share of the function's copies. Each copy evaluates the bundle anew, so that it has its own client and retries, as
// in Lambda. The copies share compiled code, because here they also share a CPU. The process reports when all copies are
// loaded, and when all invocations have ended.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { compileFunction } from 'node:vm';
import type { Context, SNSEvent } from 'aws-lambda';

/** The parent's first message. Its second message starts the invocations. */
export interface Assignment {
  readonly path: string;
  /** One event for each copy of the function. */
  readonly events: readonly SNSEvent[];
  readonly timeoutMs: number;
}

type Handler = (event: SNSEvent, context: Context) => Promise<void>;

// A parent that was killed cannot end this process.
process.once('disconnect', () => process.exit());
for (const method of ['info', 'warn', 'error'] as const) console[method] = () => {};
process.once('message', ({ path, events, timeoutMs }: Assignment) => {
  const evaluate = compileFunction(readFileSync(path, 'utf8'), ['module', 'exports', 'require'], { filename: path });
  const copies = events.map((event) => {
    const module = { exports: {} as { handler: Handler } };
    evaluate(module, module.exports, createRequire(path));
    return { event, handler: module.exports.handler };
  });
  process.once('message', async () => {
    const deadline = Date.now() + timeoutMs;
    const context = {
      invokedFunctionArn: `arn:aws:lambda:${process.env.AWS_REGION}:123456789012:function:remove-from-lb`,
      getRemainingTimeInMillis: () => deadline - Date.now(),
    } as Context;
    await Promise.allSettled(copies.map(({ event, handler }) => handler(event, context)));
    process.send?.('ended');
  });
  process.send?.('loaded');
});
