import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import type { SNSEvent } from 'aws-lambda';
import options from '../../esbuild.config.mjs';
import { startEc2Endpoint } from '../aws/ec2-endpoint.ts';
import { LAMBDA_FLAGS } from '../aws/lambda.ts';
import { BUCKET, TIMEOUT_MS } from './concurrency.ts';
import { environment } from './function.ts';
import { terminatingEvent } from './local-ec2.ts';
import type { Assignment, End } from './scale-in-process.ts';
import { round, type Table } from './table.ts';
import { built, SHIPPED, shipped } from './variants.ts';

const SIZES = [100, 300, 1000];

/** Terminates N instances at the same moment, each with a function instance of its own, against EC2's token bucket. */
export async function scaleIn(): Promise<Table> {
  const variants = [
    { name: SHIPPED, path: (await shipped()).path },
    { name: "the SDK's default retry", path: (await defaultRetry()).path },
  ];
  const rows = [];
  for (const count of SIZES) {
    for (const { name, path } of variants) rows.push({ variant: name, ...(await terminate(count, name, path)) });
  }
  return {
    title: 'Mass scale-in: N instances at the same moment',
    rows,
    notes: [
      `EC2's bucket: ${BUCKET.capacity} calls, refilled at ${BUCKET.refillPerSecond} per second. The function's timeout: ${TIMEOUT_MS / 1000} s. One invocation each, without Lambda's retries.`,
      'Silent: ended in success with no tag set. Lost: ended in no success and no tag.',
    ],
  };
}

function defaultRetry() {
  return built('default-retry', { ...options, entryPoints: { index: 'scripts/bench/default-retry.ts' } });
}

async function terminate(count: number, name: string, path: string) {
  const started = performance.now();
  const ec2 = await startEc2Endpoint({ bucket: BUCKET });
  const ids = Array.from({ length: count }, (_, n) => `i-${n.toString(16).padStart(17, '0')}`);
  for (const id of ids) ec2.instances.set(id, { tags: new Map() });
  const event = await terminatingEvent();
  const crew = await startWorkers(
    availableParallelism(),
    path,
    ids.map((id) => naming(id, event)),
    ec2.url,
  );
  const tagged = () => ids.filter((id) => ec2.instances.get(id)?.tags.get('remove_from_lb') === 'yes');
  const report = () => console.error(`scale-in: N = ${count}, ${name}: ${tagged().length} tagged`);
  report();
  const progress = setInterval(report, 5000);
  try {
    const begun = performance.now() - started;
    const ends = await Promise.all(crew.map(run));
    // The workers took the instances in turns, as startWorkers dealt them out.
    const ended = ids.map((_, n) => ends[n % crew.length]?.[Math.floor(n / crew.length)] ?? 'timed out');
    const withTag = new Set(tagged());
    const calls = ec2.calls.filter(({ outcome }) => outcome !== 200);
    const last = Math.max(...ec2.calls.filter(({ outcome }) => outcome === 200).map(({ at }) => at));
    const atBest = (count - BUCKET.capacity) / BUCKET.refillPerSecond;
    const lastSeconds = (last - begun) / 1000;
    return {
      N: count,
      tagged: withTag.size,
      threw: ended.filter((end) => end.startsWith('threw')).length,
      'timed out': ended.filter((end) => end === 'timed out').length,
      silent: ids.filter((id, n) => ended[n] === 'succeeded' && !withTag.has(id)).length,
      lost: ids.filter((id, n) => ended[n] !== 'succeeded' && !withTag.has(id)).length,
      'rejected calls': calls.length,
      'last tag, s': round(lastSeconds, 1),
      'by the bucket, s': atBest,
      ratio: atBest > 0 && withTag.size === count ? round(lastSeconds / atBest, 2) : '',
    };
  } finally {
    clearInterval(progress);
    for (const { child } of crew) child.kill();
    await ec2.close();
  }
}

interface Worker {
  readonly child: ChildProcess;
  /** Rejects when the process ends: a process that is gone sends no message to wait for. */
  readonly died: Promise<never>;
}

async function startWorkers(size: number, path: string, events: SNSEvent[], url: string): Promise<Worker[]> {
  const script = fileURLToPath(new URL('scale-in-process.ts', import.meta.url));
  return Promise.all(
    Array.from({ length: size }, async (_, worker) => {
      const child = fork(script, { execArgv: LAMBDA_FLAGS, env: environment(url) });
      const dealt = events.filter((_, n) => n % size === worker);
      const died = once(child, 'exit').then(([code, signal]) => {
        throw new Error(`a process of the function's instances ended (${signal ?? `exit code ${code}`})`);
      });
      died.catch(() => {});
      child.send({ path, events: dealt, timeoutMs: TIMEOUT_MS } satisfies Assignment);
      await Promise.race([once(child, 'message'), died]);
      return { child, died };
    }),
  );
}

async function run({ child, died }: Worker): Promise<End[]> {
  child.send('start');
  const [ends] = await Promise.race([once(child, 'message'), died]);
  return ends;
}

function naming(id: string, event: string): SNSEvent {
  return JSON.parse(event.replaceAll('i-05629ab7d9287e205', id));
}
