// A process that holds some of the function's instances. Each evaluates the bundle anew, so that it has its own client and
// its own retry state, as in Lambda. They share the compiled code, because here they share a CPU; Lambda gives each its own.
// The process says when all are loaded, calls them all when its parent says so, and reports.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { compileFunction } from 'node:vm';
import type { Context, SNSEvent } from 'aws-lambda';

/** What the parent sends first; its next message is the sign to start. */
export interface Assignment {
  readonly path: string;
  /** One event for each instance of the function. */
  readonly events: readonly SNSEvent[];
  readonly timeoutMs: number;
}

/** How an invocation ended: in success, in the error named, or at the function's timeout. */
export type End = 'succeeded' | 'timed out' | `threw ${string}`;

type Handler = (event: SNSEvent, context: Context) => Promise<void>;

// Without its parent nobody waits for the result.
process.once('disconnect', () => process.exit());
for (const method of ['info', 'warn', 'error'] as const) console[method] = () => {};
process.once('message', ({ path, events, timeoutMs }: Assignment) => {
  const evaluate = compileFunction(readFileSync(path, 'utf8'), ['module', 'exports', 'require'], { filename: path });
  const handlers = events.map((): Handler => {
    const module = { exports: {} as { handler: Handler } };
    evaluate(module, module.exports, createRequire(path));
    return module.exports.handler;
  });
  process.once('message', async () => {
    process.send?.(await Promise.all(handlers.map((handler, n) => invoke(handler, events[n] as SNSEvent, timeoutMs))));
  });
  process.send?.('loaded');
});

async function invoke(handler: Handler, event: SNSEvent, timeoutMs: number): Promise<End> {
  const deadline = Date.now() + timeoutMs;
  const context = {
    invokedFunctionArn: `arn:aws:lambda:${process.env.AWS_REGION}:123456789012:function:remove-from-lb`,
    getRemainingTimeInMillis: () => deadline - Date.now(),
  };
  const timeout = Promise.withResolvers<End>();
  const timer = setTimeout(() => timeout.resolve('timed out'), timeoutMs);
  const call = handler(event, context as Context).then(
    (): End => 'succeeded',
    (error: Error): End => `threw ${error.name}`,
  );
  const end = await Promise.race([call, timeout.promise]);
  clearTimeout(timer);
  return end;
}
