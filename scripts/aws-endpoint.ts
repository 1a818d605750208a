/**
 * Reads AWS_ENDPOINT_URL; undefined when AWS_ENDPOINT_URL is unset or empty.
 * @throws Error when AWS_ENDPOINT_URL is not an http or https URL.
 */
export function readEndpointUrl({ AWS_ENDPOINT_URL: url }: NodeJS.ProcessEnv): string | undefined {
  if (!url) return undefined;
  if (/^https?:$/.test(URL.parse(url)?.protocol ?? '')) return url;
  throw new Error(`AWS_ENDPOINT_URL is ${JSON.stringify(url)}; expected http://… or https://…`);
}

/**
 * Finds the credentials of a client.
 * @param find for example `() => client.config.credentials()`.
 * @throws Error that says which setting is missing or wrong.
 */
export async function findCredentials<T>(
  find: () => Promise<T>,
  { AWS_PROFILE: profile }: NodeJS.ProcessEnv,
): Promise<T> {
  try {
    return await find();
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new Error(
      profile
        ? `AWS_PROFILE is ${JSON.stringify(profile)}; expected a profile that has credentials (${reason})`
        : `AWS_PROFILE is not set; expected a profile, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (${reason})`,
      { cause: error },
    );
  }
}
