import { setTimeout as sleep } from 'node:timers/promises';

/** A program that reads the removal tag and takes tagged instances out of HAProxy. */
export interface Consumer {
  /** As `--consumer` names it. */
  readonly name: string;
  /** Milliseconds from one question to EC2 to the next, at most. */
  readonly intervalMs: number;
  /** Milliseconds from the question to EC2 until HAProxy has let go: a measured time with room for a busy machine. */
  readonly runMs: number;
  /** Whether it reloads HAProxy: a reload leaves an old worker, which serves connections that clients keep alive. */
  readonly reloads: boolean;
  /**
   * Looks for the programs that the consumer needs beside HAProxy.
   * @returns the version of the consumer, such as "Chef Infra Client 18.11.11".
   * @throws Error with one sentence that says what is missing and how to install it.
   */
  requirement(environment: NodeJS.ProcessEnv): Promise<string>;
  /**
   * Starts the consumer of one HAProxy. With several HAProxies each gets a consumer, started at a phase of its own.
   * @returns once the consumer has asked EC2 for the first time and changed what it had to change.
   * @throws Error when this first run fails.
   */
  start(surroundings: Surroundings): Promise<RunningConsumer>;
}

export interface RunningConsumer {
  /** A sentence for each run that failed, and for an end that nobody asked for. */
  readonly failures: readonly string[];
  /** Ends it and all processes that it started. */
  stop(): Promise<void>;
}

/**
 * The machine of one HAProxy, as a consumer finds it.
 *
 * Instances answer on addresses of their own (`PrivateIpAddress`) and all on the same port. HAProxy has one backend,
 * `web`, and each server in it is named by its instance id: this is how the proof sees which servers are out. In the
 * configuration file stands `staticConfiguration`, and behind it one line `server INSTANCE-ID ADDRESS:PORT` each.
 *
 * During a run instances are tagged, killed, and then `terminated` (or `stopped`, and later `running` again on the old
 * address). EC2 forgets a terminated instance: first its removal tag goes, then the instance itself.
 */
export interface Surroundings {
  /** The folder of this HAProxy and its consumer. */
  readonly folder: string;
  readonly configFile: string;
  /** Holds the process id of HAProxy's master, which reloads at SIGUSR2. */
  readonly pidFile: string;
  /** HAProxy's Runtime API, with level admin. */
  readonly statsSocket: string;
  /** The configuration but for the server lines, which belong at its end. */
  readonly staticConfiguration: string;
  /** The port that every instance serves on. */
  readonly serverPort: number;
  /** The Auto Scaling group of the instances. */
  readonly group: string;
  readonly ec2Url: string;
  readonly region: string;
  /**
   * The whole environment for processes: that of `npm run drain`, with EC2's endpoint, region and credentials in the
   * variables that the AWS CLI and the SDKs read.
   */
  readonly environment: Readonly<Record<string, string>>;
  /** Aborted when the proof has to end early. */
  readonly signal: AbortSignal;
  readonly onProgress: (line: string) => void;
}

/**
 * Runs something at once, and again after every interval, as a timer of systemd does.
 * @throws the error of the first run. An error of a later run becomes a failure.
 */
export async function runEvery(intervalMs: number, run: () => Promise<void>): Promise<RunningConsumer> {
  const failures: string[] = [];
  const end = new AbortController();
  let next = Date.now() + intervalMs;
  await run();

  async function keepRunning(): Promise<void> {
    for (; ; next = Math.max(Date.now(), next + intervalMs)) {
      await sleep(Math.max(0, next - Date.now()), undefined, { signal: end.signal }).catch(() => {});
      if (end.signal.aborted) return;
      await run().catch((error: unknown) => failures.push(error instanceof Error ? error.message : String(error)));
    }
  }

  const running = keepRunning();
  return {
    failures,
    async stop() {
      end.abort();
      await running;
    },
  };
}
