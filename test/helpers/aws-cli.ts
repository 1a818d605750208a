import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** An environment in which the AWS CLI calls this endpoint. */
export function awsCli(endpointUrl: string, more: Readonly<Record<string, string>> = {}): NodeJS.ProcessEnv {
  return {
    ...process.env,
    AWS_ENDPOINT_URL: endpointUrl,
    AWS_DEFAULT_REGION: 'us-west-2',
    AWS_ACCESS_KEY_ID: 'local',
    AWS_SECRET_ACCESS_KEY: 'local',
    AWS_MAX_ATTEMPTS: '1',
    ...more,
  };
}

/**
 * Puts an `aws` into the folder that prints this and ends with this status.
 * @returns a PATH that begins with the folder.
 */
export async function pathWithAws(folder: string, prints: string, status: number): Promise<string> {
  const file = join(folder, 'aws');
  await writeFile(file, `#!/bin/sh\nprintf '${prints}'\nexit ${status}\n`);
  await chmod(file, 0o755);
  return `${folder}:${process.env.PATH}`;
}
