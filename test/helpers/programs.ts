import { programVersion } from '../../scripts/programs.ts';
import { chef } from '../../scripts/proof/consumers/chef.ts';

/**
 * Whether to skip tests because a program is missing. Then prints the reason.
 * @param programs each with the argument for its version.
 * @throws in CI, where no test may be skipped.
 */
export function skippedWithout(programs: Readonly<Record<string, string>>, untested: string): boolean {
  for (const command of Object.entries(programs)) {
    try {
      programVersion(command, process.env);
    } catch (error) {
      return skip(untested, error as Error, Boolean(process.env.CI));
    }
  }
  return false;
}

/**
 * The same for Chef.
 * @throws in CI if CHEF_LICENSE is set. Chef does not run without the accepted licence.
 */
export async function skippedWithoutChef(untested: string): Promise<boolean> {
  try {
    await chef.requirement(process.env);
    return false;
  } catch (error) {
    return skip(untested, error as Error, Boolean(process.env.CI && process.env.CHEF_LICENSE));
  }
}

function skip(untested: string, { message }: Error, forbidden: boolean): true {
  const reason = `${untested} is not tested: ${message}`;
  if (forbidden) throw new Error(reason);
  console.warn(reason);
  return true;
}
