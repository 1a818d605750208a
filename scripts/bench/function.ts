import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { LAMBDA_FLAGS, lambdaEnvironment } from '../local-aws/lambda.ts';

const REGION = 'us-west-2';

/** Milliseconds since a process started, and the CPU time in milliseconds that it has used. */
interface Taken {
  readonly ms: number;
  readonly cpuMs: number;
}

/** Times of a fresh process: until its function was loaded, and until the first call returned. */
export interface Sample {
  readonly load: Taken;
  readonly first: Taken;
  readonly peakBytes: number;
}

/** The variables that Lambda sets, and the EC2 endpoint. */
export function environment(endpointUrl: string): Record<string, string> {
  return { ...lambdaEnvironment(REGION), AWS_ENDPOINT_URL: endpointUrl };
}

/** Loads a function in a fresh process, with Lambda's flags and environment, and calls it. */
export async function measure(
  path: string,
  event: string,
  env: Record<string, string>,
  signal: AbortSignal,
): Promise<Sample> {
  const script = fileURLToPath(new URL('function-process.cjs', import.meta.url));
  const args = [...LAMBDA_FLAGS, script, path, event];
  const { stdout } = await promisify(execFile)(process.execPath, args, { env, signal });
  return JSON.parse(stdout);
}
