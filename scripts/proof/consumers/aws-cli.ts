import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

/**
 * The version of the AWS CLI on the environment's path.
 * @throws Error that says how to get one.
 */
export async function awsCliVersion(env: NodeJS.ProcessEnv): Promise<string> {
  try {
    const { stdout } = await promisify(execFile)('aws', ['--version'], { env });
    return `AWS CLI ${/^aws-cli\/(\S+)/.exec(stdout)?.[1] ?? stdout.trim()}`;
  } catch (error) {
    throw new Error(
      'aws cannot be run; install the AWS CLI (Debian, Ubuntu: apt-get install awscli; macOS: brew install awscli)',
      { cause: error },
    );
  }
}
