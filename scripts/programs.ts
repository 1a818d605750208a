import { spawnSync } from 'node:child_process';

// Debian, Ubuntu and Homebrew use the same names.
const PACKAGES: Readonly<Record<string, string>> = { aws: 'awscli' };

/**
 * Finds a program on the environment's path.
 * @param command prints the program's version.
 * @param advice how to install the program; by default for a package of Debian, Ubuntu and Homebrew.
 * @returns the version.
 * @throws Error with one sentence that says how to install the program.
 */
export function programVersion(
  [program, ...args]: readonly [string, ...string[]],
  env: NodeJS.ProcessEnv,
  advice?: string,
): string {
  const { status, stdout } = spawnSync(program, args, { env, encoding: 'utf8' });
  if (status === 0) return /\d+\.\d\S*/.exec(stdout)?.[0] ?? stdout.trim();
  const name = PACKAGES[program] ?? program;
  throw new Error(
    advice ??
      `${program} cannot be run; install it (Debian, Ubuntu: apt-get install ${name}; macOS: brew install ${name})`,
  );
}
