import type { Readable } from 'node:stream';
// @ts-expect-error: the types of this file are in dist-types.
import { getRuntimeConfig as getSharedConfig } from '@aws-sdk/client-ec2/dist-es/runtimeConfig.shared.js';
import type { getRuntimeConfig as GetSdkConfig } from '@aws-sdk/client-ec2/dist-types/runtimeConfig.js';
import type { getRuntimeConfig as GetSharedConfig } from '@aws-sdk/client-ec2/dist-types/runtimeConfig.shared.js';
import sdk from '@aws-sdk/client-ec2/package.json' with { type: 'json' };
import { createDefaultUserAgentProvider } from '@aws-sdk/core/client';
import { fromEnv } from '@aws-sdk/credential-provider-env';
import { invalidProvider } from '@smithy/core/client';
import { DEFAULT_MAX_ATTEMPTS, DEFAULT_RETRY_MODE } from '@smithy/core/retry';
import { calculateBodyLength } from '@smithy/core/serde';
import { NodeHttpHandler, type NodeHttpHandlerOptions } from '@smithy/node-http-handler';

/**
 * The EC2 client's configuration for Lambda. The build replaces the SDK's `runtimeConfig.js` for Node with this file.
 * The SDK's file looks for credentials and settings in many places, but Lambda puts all of them into the environment.
 */
export const getRuntimeConfig: typeof GetSdkConfig = (config) => {
  const { AWS_ENDPOINT_URL_EC2, AWS_ENDPOINT_URL, AWS_USE_FIPS_ENDPOINT, AWS_USE_DUALSTACK_ENDPOINT } = process.env;
  const shared: ReturnType<typeof GetSharedConfig> = getSharedConfig(config);
  const endpoint = AWS_ENDPOINT_URL_EC2 || AWS_ENDPOINT_URL;
  return {
    ...shared,
    ...(endpoint && { endpoint }),
    // The endpoint is set above. Otherwise the client would look for the endpoint again, also in ~/.aws.
    ignoreConfiguredEndpointUrls: true,
    ...config,
    runtime: 'node',
    region: config.region ?? invalidProvider('Region is missing'),
    credentialDefaultProvider: () => fromEnv(),
    authSchemePreference: [],
    disableClockSkewCorrection: false,
    // Unlike in the SDK, TRUE is true, because a call must not leave FIPS unnoticed. Other texts are false.
    useFipsEndpoint: AWS_USE_FIPS_ENDPOINT?.toLowerCase() === 'true',
    useDualstackEndpoint: AWS_USE_DUALSTACK_ENDPOINT?.toLowerCase() === 'true',
    defaultsMode: async () => 'legacy',
    maxAttempts: config.maxAttempts ?? DEFAULT_MAX_ATTEMPTS,
    retryMode: DEFAULT_RETRY_MODE,
    // The type also allows the options of browsers.
    requestHandler: NodeHttpHandler.create(config.requestHandler as NodeHttpHandlerOptions | undefined),
    defaultSocketTimeout: undefined,
    bodyLengthChecker: calculateBodyLength,
    streamCollector: (stream) => collect(stream as Readable),
    defaultUserAgentProvider: createDefaultUserAgentProvider({
      serviceId: shared.serviceId,
      clientVersion: sdk.version,
    }),
    userAgentAppId: async () => process.env.AWS_SDK_UA_APP_ID,
  };
};

/** The SDK's collector checks for web streams first, which makes Node load them. */
function collect(body: Readable): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const chunks: Uint8Array[] = [];
    body
      .on('data', (chunk) => chunks.push(chunk))
      .on('error', reject)
      .on('end', () => resolve(Buffer.concat(chunks)));
  });
}
