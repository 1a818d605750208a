import { execFile } from 'node:child_process';
import type { Instance } from '../scripts/local-aws/ec2-instances.ts';
import { DEFAULT_TAG } from '../src/settings.ts';

/** The tag that takes an instance out of HAProxy. */
export const TAGGED = { [DEFAULT_TAG.key]: DEFAULT_TAG.value };

/** A running instance of the group "web". */
export function instance(tags: object = {}, more: Partial<Omit<Instance, 'tags'>> = {}): Instance {
  const all = Object.entries({ 'aws:autoscaling:groupName': 'web', ...tags });
  return { tags: new Map(all), state: 'running', ...more };
}

/** Runs a program to its end. Never throws. */
export function run(file: string, args: string[], { env = process.env, input = '' } = {}) {
  return new Promise<{ code: unknown; stdout: string; stderr: string }>((resolve) => {
    const child = execFile(file, args, { env }, (error, stdout, stderr) =>
      resolve({ code: error?.code ?? 0, stdout, stderr }),
    );
    // A program may end before it reads its input.
    child.stdin?.on('error', () => {}).end(input);
  });
}
