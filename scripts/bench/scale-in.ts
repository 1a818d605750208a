import { fork } from 'node:child_process';
import { once } from 'node:events';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import type { SNSEvent } from 'aws-lambda';
import options from '../../esbuild.config.mjs';
import type { Terminal } from '../command.ts';
import { startEc2Endpoint } from '../local-aws/ec2-endpoint.ts';
import { FUNCTION_TIMEOUT_MS, LAMBDA_FLAGS } from '../local-aws/lambda.ts';
import { round, type Table } from '../table.ts';
import { environment } from './function.ts';
import { terminatingEvent } from './local-ec2.ts';
import type { Assignment, End } from './scale-in-process.ts';
import { built, SHIPPED, shipped, variantsFolder } from './variants.ts';

/** EC2's limit for CreateTags: https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-throttling.html */
const BUCKET = { capacity: 100, refillPerSecond: 10 };

/** Numbers of instances. */
export const SIZES: readonly number[] = [100, 300, 1000];

/** Terminates N instances at the same moment, each with its own instance of the function, under EC2's limit. */
export async function scaleIn(sizes: readonly number[], terminal: Terminal): Promise<Table> {
  await using folder = await variantsFolder();
  const variants = [
    { name: SHIPPED, path: (await shipped(folder.path)).path },
    { name: "the SDK's default retry", path: (await defaultRetry(folder.path)).path },
  ];
  const rows = [];
  for (const count of sizes) {
    for (const { name, path } of variants) {
      rows.push({ variant: name, ...(await terminate(count, name, path, terminal)) });
    }
  }
  return {
    title: 'Mass scale-in: N instances at the same moment',
    rows,
    notes: [
      `EC2's bucket: ${BUCKET.capacity} calls, refilled at ${BUCKET.refillPerSecond} per second. The function's timeout: ${FUNCTION_TIMEOUT_MS / 1000} s. One invocation each, without Lambda's retries.`,
      'Silent: the function succeeded but set no tag. Lost: the function failed and set no tag.',
    ],
  };
}

function defaultRetry(folder: string) {
  return built(folder, 'default-retry', { ...options, entryPoints: { index: 'scripts/bench/default-retry.ts' } });
}

async function terminate(count: number, name: string, path: string, { err, signal }: Terminal) {
  const started = performance.now();
  const ec2 = await startEc2Endpoint({ bucket: BUCKET });
  const ids = Array.from({ length: count }, (_, n) => `i-${n.toString(16).padStart(17, '0')}`);
  for (const id of ids) ec2.instances.set(id, { tags: new Map() });
  const event = await terminatingEvent();
  const events = ids.map((id) => eventFor(id, event));
  const size = availableParallelism();
  const workers = Array.from({ length: size }, () => startWorker(ec2.url, signal));
  const tagged = () => ids.filter((id) => ec2.instances.get(id)?.tags.get('remove_from_lb') === 'yes');
  const report = () => err(`scale-in: N = ${count}, ${name}: ${tagged().length} tagged`);
  const progress = setInterval(report, 5000);
  try {
    await Promise.all(
      workers.map(({ ask }, worker) =>
        ask({
          path,
          events: events.filter((_, n) => n % size === worker),
          timeoutMs: FUNCTION_TIMEOUT_MS,
        } satisfies Assignment),
      ),
    );
    report();
    const begun = performance.now() - started;
    const ends = (await Promise.all(workers.map(({ ask }) => ask('start')))) as End[][];
    const ended = ids.map((_, n) => ends[n % size]?.[Math.floor(n / size)] ?? 'timed out');
    const withTag = new Set(tagged());
    const rejected = ec2.calls.filter(({ outcome }) => outcome !== 200);
    const last = Math.max(...ec2.calls.filter(({ outcome }) => outcome === 200).map(({ at }) => at));
    const atBest = Math.max(0, (count - BUCKET.capacity) / BUCKET.refillPerSecond);
    const lastSeconds = (last - begun) / 1000;
    return {
      N: count,
      tagged: withTag.size,
      threw: ended.filter((end) => end.startsWith('threw')).length,
      'timed out': ended.filter((end) => end === 'timed out').length,
      silent: ids.filter((id, n) => ended[n] === 'succeeded' && !withTag.has(id)).length,
      lost: ids.filter((id, n) => ended[n] !== 'succeeded' && !withTag.has(id)).length,
      'rejected calls': rejected.length,
      'last tag, s': round(lastSeconds, 1),
      'by the bucket, s': atBest,
      ratio: atBest > 0 && withTag.size === count ? round(lastSeconds / atBest, 2) : null,
    };
  } finally {
    clearInterval(progress);
    await Promise.allSettled(workers.map(({ stop }) => stop()));
    await ec2.close();
  }
}

/** A process that has a part of the function's instances. */
interface Worker {
  /**
   * Sends a message and waits for the answer.
   * @throws Error when the process ends, or when the signal is aborted.
   */
  ask(message: Assignment | 'start'): Promise<unknown>;
  stop(): Promise<void>;
}

function startWorker(url: string, signal: AbortSignal): Worker {
  const script = fileURLToPath(new URL('scale-in-process.ts', import.meta.url));
  const child = fork(script, { execArgv: LAMBDA_FLAGS, env: environment(url) });
  const exited = once(child, 'exit');
  const died = exited.then(([code, signalName]) => {
    throw new Error(`a process of the function's instances ended (${signalName ?? `exit code ${code}`})`);
  });
  died.catch(() => {});
  return {
    async ask(message) {
      const answer = once(child, 'message', { signal });
      child.send(message);
      const [content] = await Promise.race([answer, died]);
      return content;
    },
    async stop() {
      child.kill();
      await exited;
    },
  };
}

function eventFor(id: string, event: string): SNSEvent {
  return JSON.parse(event.replaceAll('i-05629ab7d9287e205', id));
}
