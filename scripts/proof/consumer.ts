import { setTimeout as sleep } from 'node:timers/promises';
import type { HaproxyFiles } from '../haproxy.ts';

/** A program that reads the removal tag and takes tagged instances out of HAProxy. */
export interface Consumer {
  /** The name for `--consumer`. */
  readonly name: string;
  /** The longest time from one question to EC2 to the next, in milliseconds. */
  readonly intervalMs: number;
  /** Milliseconds from the question to EC2 until the instance is out of HAProxy: measured, with room for a busy machine. */
  readonly runMs: number;
  /** Whether the consumer reloads HAProxy. A reload leaves an old worker, which serves kept-alive connections. */
  readonly reloads: boolean;
  /**
   * The shortest time from one look at HAProxy to the next, in milliseconds. Only a consumer that can end the wait of the
   * lifecycle hook has this time.
   */
  readonly lookEveryMs?: number;
  /**
   * Looks for the programs that the consumer needs beside HAProxy.
   * @returns the version of the consumer, such as "Chef Infra Client 18.11.11".
   * @throws Error with one sentence that names a missing program and says how to install the program.
   */
  requirement(environment: NodeJS.ProcessEnv): Promise<string>;
  /**
   * Starts the consumer of one HAProxy. Each HAProxy gets its own consumer; the consumers start at different times. One
   * consumer serves all HAProxies if it has to end the wait, because it must see all connections.
   * @returns after the first run: the consumer has asked EC2 and changed HAProxy.
   * @throws Error when the first run fails.
   */
  start(surroundings: Surroundings): Promise<RunningConsumer>;
}

export interface RunningConsumer {
  /** A sentence for each run that failed, and for a consumer that ended before `stop`. */
  readonly failures: readonly string[];
  /** Ends the consumer and all processes that it started. */
  stop(): Promise<void>;
}

/**
 * The machine of one HAProxy, as a consumer finds it.
 *
 * Each instance answers on its own address (`PrivateIpAddress`); the port is the same for all. HAProxy has one backend,
 * `web`. Each server in it has its instance id as its name, because the proof recognises servers by their names. The
 * configuration file is `staticConfiguration`, followed by one line `server INSTANCE-ID ADDRESS:PORT` for each server.
 *
 * During a run instances are tagged, killed, and then `terminated` (or `stopped`, and later `running` again on the old
 * address). EC2 forgets a terminated instance: first its removal tag goes, then the instance itself.
 */
export interface Surroundings extends HaproxyFiles {
  /** The configuration without the server lines, which belong at its end. */
  readonly staticConfiguration: string;
  /** The stats sockets of all HAProxies that the consumer serves: its own, and with `completeHook` those of all HAProxies. */
  readonly statsSockets: readonly string[];
  /** The lifecycle hook whose wait the consumer ends. If it is absent, the consumer never ends a wait. */
  readonly completeHook?: string;
  /** The port of every server. */
  readonly serverPort: number;
  /** The Auto Scaling group of the instances. */
  readonly group: string;
  readonly ec2Url: string;
  readonly region: string;
  /** The environment for processes, with EC2's endpoint, region and credentials for the AWS CLI and the SDKs. */
  readonly environment: Readonly<Record<string, string>>;
  /** Aborted when the proof has to end early. */
  readonly signal: AbortSignal;
  readonly onProgress: (line: string) => void;
}

/**
 * Calls `run` at once, and again after every interval, as a timer of systemd does. After a run that took several intervals,
 * the next run starts at once, and is the only one.
 * @throws the error of the first run. An error of a later run becomes a failure.
 */
export async function runEvery(intervalMs: number, run: () => Promise<void>): Promise<RunningConsumer> {
  let due = performance.now() + intervalMs;
  await run();
  const failures: string[] = [];
  const end = new AbortController();
  // The end of the interval is an AbortError.
  const running = keepRunning().catch(() => {});

  async function keepRunning(): Promise<void> {
    for (;;) {
      await sleep(Math.max(0, due - performance.now()), undefined, { signal: end.signal });
      due = Math.max(due, performance.now()) + intervalMs;
      await run().catch((error: Error) => failures.push(error.message));
    }
  }

  return {
    failures,
    async stop() {
      end.abort();
      await running;
    },
  };
}
