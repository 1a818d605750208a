import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '../free-port.ts';
import { startEc2Endpoint } from '../local-aws/ec2-endpoint.ts';
import { startLambda } from '../local-aws/lambda.ts';
import { recordCommands } from './commands.ts';
import type { Consumer, RunningConsumer, Surroundings } from './consumer.ts';
import { GROUP, startFleet } from './fleet.ts';
import { startLoad } from './load.ts';
import { type LoadBalancer, type LoadBalancerOptions, startLoadBalancer } from './load-balancer.ts';
import { recordLooks } from './looks.ts';
import type { Plan } from './plan.ts';
import { publisherTo } from './publisher.ts';

export interface StageOptions {
  readonly plan: Plan;
  readonly haproxies: number;
  /** Started beside each HAProxy, but only once if the consumer ends the wait. */
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

const REGION = 'us-west-2';
/** The name in the messages of test/events. */
export const HOOK = 'drain';

/**
 * Starts everything that runs during a scenario, the load last.
 * @param started gets what ends everything, also if a later start fails.
 */
export async function setStage(
  { mode, completes }: { readonly mode: LoadBalancerOptions['mode']; readonly completes: boolean },
  options: StageOptions,
  started: AsyncDisposableStack,
) {
  const { plan, haproxies, consumer, zip, folder, environment, signal, onProgress } = options;
  const ec2 = await startEc2Endpoint();
  started.defer(() => ec2.close());
  const fleet = await startFleet(ec2, plan.servers, started);
  const loadBalancers: LoadBalancer[] = [];
  for (let n = 1; n <= haproxies; n += 1) {
    const place = { folder: join(folder, `haproxy-${n}`), port: await freePort() };
    const loadBalancer = await startLoadBalancer({ ...place, mode, environment }, fleet.servers);
    started.defer(() => loadBalancer.stop());
    loadBalancers.push(loadBalancer);
  }
  const lambda = await startLambda(zip, { environment: { AWS_ENDPOINT_URL: ec2.url }, region: REGION, signal });
  started.defer(() => lambda.stop());
  signal.throwIfAborted();
  const recorders: Awaited<ReturnType<typeof recordLooks>>[] = [];
  if (completes) {
    for (const { folder: place, statsSocket } of loadBalancers) {
      const recorder = await recordLooks(statsSocket, join(place, 'looks.sock'));
      started.defer(() => recorder.stop());
      recorders.push(recorder);
    }
  }
  const commands = new Set<string>();
  const starting = loadBalancers.slice(0, completes ? 1 : haproxies).map(startConsumer);
  // If one start fails, the other consumers must be known to be ended.
  await Promise.allSettled(starting);
  const consumers = await Promise.all(starting);
  for (const command of commands) onProgress(`         consumer: ${command}`);
  signal.throwIfAborted();
  const load = await startLoad({ plan, ports: loadBalancers.map(({ port }) => port) });
  started.defer(() => load.stop());
  const looks = recorders.map((recorder) => recorder.looks);
  return { ec2, fleet, loadBalancers, consumers, commands, looks, publisher: publisherTo(lambda), load };

  /** Starts the consumer of the nth HAProxy. The starts are spread evenly over the consumer's interval. */
  async function startConsumer(loadBalancer: LoadBalancer, n: number): Promise<RunningConsumer> {
    await sleep((n * consumer.intervalMs) / haproxies, undefined, { signal });
    const surroundings: Surroundings = {
      ...loadBalancer,
      statsSockets: completes ? recorders.map(({ path }) => path) : [loadBalancer.statsSocket],
      ...(completes && { completeHook: HOOK }),
      serverPort: fleet.port,
      group: GROUP,
      ec2Url: ec2.url,
      region: REGION,
      environment: environmentFor(environment, ec2.url),
      signal,
      onProgress,
    };
    const running = await recordCommands(commands, () => consumer.start(surroundings));
    started.defer(() => running.stop());
    return running;
  }
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
