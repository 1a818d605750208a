import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Ec2Endpoint, startEc2Endpoint } from '../local-aws/ec2-endpoint.ts';
import { startLambda } from '../local-aws/lambda.ts';
import type { Consumer, RunningConsumer } from './consumer.ts';
import { type Fleet, freePort, GROUP, startFleet } from './fleet.ts';
import { type Haproxy, startHaproxy } from './haproxy.ts';
import { type Load, startLoad } from './load.ts';
import type { Plan } from './plan.ts';
import { type Topic, topicOf } from './topic.ts';

export interface StageOptions {
  readonly plan: Plan;
  /** Started beside each HAProxy. */
  readonly consumer: Consumer;
  /** The bundled function. */
  readonly zip: Uint8Array;
  /** An empty folder for HAProxy's and the consumer's files. */
  readonly folder: string;
  /** The environment of `npm run drain`. */
  readonly environment: NodeJS.ProcessEnv;
  readonly signal: AbortSignal;
  readonly onProgress: (line: string) => void;
}

/** Everything that runs during a scenario. Disposing of the stage ends it. */
export interface Stage extends AsyncDisposable {
  readonly ec2: Ec2Endpoint;
  readonly fleet: Fleet;
  readonly haproxies: readonly Haproxy[];
  readonly consumers: readonly RunningConsumer[];
  readonly topic: Topic;
  readonly load: Load;
}

const REGION = 'us-west-2';

/** Starts everything, the load last. */
export async function setStage(careful: boolean, options: StageOptions): Promise<Stage> {
  const { plan, zip, folder, environment, signal } = options;
  await using started = new AsyncDisposableStack();

  const ec2 = await startEc2Endpoint();
  started.defer(() => ec2.close());
  const fleet = await startFleet(ec2, plan.servers);
  started.defer(() => fleet.stop());
  const haproxies: Haproxy[] = [];
  for (let n = 1; n <= plan.haproxies; n += 1) {
    const place = { folder: join(folder, `haproxy-${n}`), port: await freePort(), careful, environment };
    const haproxy = await startHaproxy(place, fleet.servers);
    started.defer(() => haproxy.stop());
    haproxies.push(haproxy);
  }
  const lambda = await startLambda(zip, { environment: { AWS_ENDPOINT_URL: ec2.url }, region: REGION, signal });
  started.defer(() => lambda.stop());
  signal.throwIfAborted();
  const consumers = await startConsumers(haproxies, { ec2, fleet, started }, options);
  signal.throwIfAborted();
  const load = await startLoad({ plan, ports: haproxies.map(({ port }) => port) });
  started.defer(() => load.stop());

  const all = started.move();
  return {
    ec2,
    fleet,
    haproxies,
    consumers,
    topic: topicOf(lambda),
    load,
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}

/** Starts a consumer beside each HAProxy, evenly apart in its interval. */
async function startConsumers(
  haproxies: readonly Haproxy[],
  { ec2, fleet, started }: { ec2: Ec2Endpoint; fleet: Fleet; started: AsyncDisposableStack },
  { consumer, environment: given, signal, onProgress }: StageOptions,
): Promise<RunningConsumer[]> {
  const environment = environmentFor(given, ec2.url);
  const starts = await Promise.allSettled(
    haproxies.map(async ({ folder, configFile, pidFile, statsSocket, staticConfiguration }, n) => {
      await sleep((n * consumer.intervalMs) / haproxies.length, undefined, { signal });
      const running = await consumer.start({
        folder,
        configFile,
        pidFile,
        statsSocket,
        staticConfiguration,
        serverPort: fleet.port,
        group: GROUP,
        ec2Url: ec2.url,
        region: REGION,
        environment,
        signal,
        onProgress,
      });
      started.defer(() => running.stop());
      return running;
    }),
  );
  return starts.map((start) => {
    if (start.status === 'rejected') throw start.reason;
    return start.value;
  });
}

/** The environment of `npm run drain`, with the AWS variables for the local endpoint. */
function environmentFor(given: NodeJS.ProcessEnv, ec2Url: string): Record<string, string> {
  const others = Object.entries(given).filter(([name]) => !name.startsWith('AWS_'));
  return {
    ...(Object.fromEntries(others) as Record<string, string>),
    AWS_ENDPOINT_URL: ec2Url,
    AWS_REGION: REGION,
    AWS_DEFAULT_REGION: REGION,
    AWS_ACCESS_KEY_ID: 'local',
    AWS_SECRET_ACCESS_KEY: 'local',
    // The user's ~/.aws is not read.
    AWS_CONFIG_FILE: '/dev/null',
    AWS_SHARED_CREDENTIALS_FILE: '/dev/null',
    AWS_EC2_METADATA_DISABLED: 'true',
  };
}
