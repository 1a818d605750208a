import { spawnSync } from 'node:child_process';
import { chef } from '../scripts/drain/consumers/chef.ts';

/**
 * Whether to skip tests because a program is missing; says what is not tested. In CI the tests run and fail.
 * @param programs each with the argument that makes it print its version and end.
 */
export function skippedWithout(programs: Readonly<Record<string, string>>, untested: string): boolean {
  const missing = Object.entries(programs)
    .filter(([program, argument]) => spawnSync(program, [argument]).error !== undefined)
    .map(([program]) => program);
  if (missing.length === 0 || process.env.CI) return false;
  console.warn(`${untested} is not tested: it needs ${missing.join(', ')}`);
  return true;
}

/** The same for Chef. In CI Chef has to be there only where CHEF_LICENSE says that its licence is accepted. */
export async function skippedWithoutChef(untested: string): Promise<boolean> {
  try {
    await chef.requirement();
    return false;
  } catch (error) {
    if (process.env.CI && process.env.CHEF_LICENSE) return false;
    console.warn(`${untested} is not tested. ${(error as Error).message}`);
    return true;
  }
}
