import { spawnSync } from 'node:child_process';

/**
 * Whether tests are to be skipped because a program that they run is missing; says so, with what is not tested. In CI
 * nothing is skipped: there the tests run, and fail.
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
