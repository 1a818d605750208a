import { spawnSync } from 'node:child_process';
import { chef } from '../../scripts/proof/consumers/chef.ts';

/**
 * Whether to skip tests because a program is missing; says what is not tested.
 * @param programs each with the argument that makes it print its version and end.
 * @throws in CI, where no test may be skipped.
 */
export function skippedWithout(programs: Readonly<Record<string, string>>, untested: string): boolean {
  const missing = Object.entries(programs)
    .filter(([program, argument]) => spawnSync(program, [argument]).error !== undefined)
    .map(([program]) => program);
  if (missing.length === 0) return false;
  return skip(`${untested} is not tested: it needs ${missing.join(', ')}`, Boolean(process.env.CI));
}

/**
 * The same for Chef.
 * @throws in CI, but only if CHEF_LICENSE is set: whoever has not accepted Chef's licence cannot run Chef.
 */
export async function skippedWithoutChef(untested: string): Promise<boolean> {
  try {
    await chef.requirement(process.env);
    return false;
  } catch (error) {
    const { message } = error as Error;
    return skip(`${untested} is not tested. ${message}`, Boolean(process.env.CI && process.env.CHEF_LICENSE));
  }
}

function skip(reason: string, forbidden: boolean): true {
  if (forbidden) throw new Error(reason);
  console.warn(reason);
  return true;
}
