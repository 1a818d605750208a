import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

/**
 * What is left out of the AWS SDK. Each step is there for its gain in load + first call, as `npm run bench -- cold-start`
 * shows it, one step on top of the last; signing, endpoint rules, error parsing, and telling transient errors from
 * permanent ones stay the SDK's own.
 * @type {import('esbuild').Plugin[]}
 */
export const steps = [
  // The schemas of EC2's 700 operations have keys such as [_xN], for all that esbuild knows with side effects. With the
  // constants written in place it drops all but those of the two commands. 158 → 96 ms, 857 → 304 kB.
  change('unused schemas', '@aws-sdk/client-ec2/dist-es/schemas/schemas_0.js', (text) => {
    const constants = new Map(
      [...text.matchAll(/^const (\w+) = ("[^"\n]*");$/gm)].map(([, name, value]) => [name, value]),
    );
    return text.replace(/\[(\w+)\]:/g, (key, name) => (constants.has(name) ? `${constants.get(name)}:` : key));
  }),
  // Lambda gives a function its credentials in the environment; the other providers are clients of five more services.
  // 96 → 86 ms, 304 → 168 kB.
  change(
    'credential providers',
    '@aws-sdk/credential-provider-node/dist-es/index.js',
    () => `import { fromEnv } from '@aws-sdk/credential-provider-env';
      export const defaultProvider = (init) => fromEnv(init);`,
  ),
  // import('node:http') starts Node's loader of ES modules and evaluates every getter of the module, and undici with it.
  // 86 → 72 ms.
  requireInsteadOfImport(),
  // EC2 has no event streams. Their import at run time keeps whole every module that they have in common with the rest.
  // 72 → 64 ms, 168 → 148 kB.
  change(
    'event streams',
    '@smithy/core/dist-es/submodules/event-streams/index.js',
    () => `throw new Error('event streams are not part of this bundle');`,
  ),
  // Lambda has no ~/.aws, where the client looks for each setting that the environment lacks, by way of two errors. Here
  // a setting that cannot be read is an error rather than passed over. 64 → 60 ms, 148 → 145 kB.
  change(
    'settings from ~/.aws',
    '@smithy/core/dist-es/submodules/config/node-config-provider/configLoader.js',
    () => `export const loadConfig =
      ({ environmentVariableSelector, default: defaultValue }, { signingName, logger } = {}) =>
      async () =>
        environmentVariableSelector(process.env, { signingName, logger }) ??
        (typeof defaultValue === 'function' ? defaultValue() : defaultValue);`,
  ),
  // node:http answers with a stream of Node's; to ask whether it is one of the Web's makes Node load those first.
  // In the noise of the table, but 2 to 8 ms in each of three runs of 100 pairs with and without it.
  change(
    'web streams',
    '@smithy/core/dist-es/submodules/serde/util-stream/stream-type-check.js',
    () => 'export const isReadableStream = () => false; export const isBlob = () => false;',
  ),
  // To look whether there is a global `crypto`, for the id of each call, makes Node load all of Web Crypto. 60 → 57 ms.
  change(
    'Web Crypto',
    '@smithy/core/dist-es/submodules/serde/uuid/v4.js',
    () => `import { randomUUID } from 'node:crypto'; export const bindV4 = () => () => randomUUID();`,
  ),
];

/**
 * How the function is bundled: one CommonJS file, which Lambda loads as `index.handler`.
 * @type {import('esbuild').BuildOptions}
 */
export default {
  // The names of the source files must not depend on where the project lies.
  absWorkingDir: fileURLToPath(new URL('.', import.meta.url)),
  entryPoints: { index: 'src/handler.ts' },
  bundle: true,
  platform: 'node',
  target: 'node24',
  format: 'cjs',
  minify: true,
  // ES modules first: what is unused can be told from them. 267 → 158 ms, 1,484 → 857 kB.
  mainFields: ['module', 'main'],
  legalComments: 'none',
  plugins: [...steps, limitSize(150_000)],
};

/**
 * Changes a file of a dependency. The build fails when the bundle has nothing of the file, or the change does nothing.
 * @param {string} name
 * @param {string} file below node_modules
 * @param {(text: string) => string} edit
 * @returns {import('esbuild').Plugin}
 */
export function change(name, file, edit) {
  return {
    name,
    setup(build) {
      build.initialOptions.metafile = true;
      const filter = new RegExp(`(^|/)node_modules/${file.replaceAll('.', '\\.')}$`.replaceAll('/', '[\\\\/]'));
      build.onLoad({ filter }, async ({ path }) => {
        const text = await readFile(path, 'utf8');
        const contents = edit(text);
        return contents === text ? voidStep(`finds nothing to change in ${file}`) : { contents };
      });
      build.onEnd(({ metafile }) => {
        const used = Object.values(metafile?.outputs ?? {}).flatMap(({ inputs }) => Object.entries(inputs));
        const found = used.some(([path, { bytesInOutput }]) => filter.test(path) && bytesInOutput > 0);
        return found ? null : voidStep(`finds no ${file} in the bundle`);
      });
    },
  };
}

/** @returns {import('esbuild').Plugin} */
function requireInsteadOfImport() {
  return {
    name: "import() of Node's modules",
    setup(build) {
      let found = false;
      build.initialOptions.supported = { ...build.initialOptions.supported, 'dynamic-import': false };
      build.onResolve({ filter: /^node:/ }, ({ kind }) => {
        found ||= kind === 'dynamic-import';
        return null;
      });
      build.onEnd(() => (found ? null : voidStep('finds no import() of a module of Node')));
    },
  };
}

/** @param {string} finding */
function voidStep(finding) {
  return {
    errors: [{ text: `${finding}: has the AWS SDK changed? Adapt this step in esbuild.config.mjs, or drop it` }],
  };
}

/**
 * Keeps what an update brings with it from going unnoticed.
 * @param {number} maxBytes
 * @returns {import('esbuild').Plugin}
 */
export function limitSize(maxBytes) {
  return {
    name: 'size',
    setup(build) {
      build.initialOptions.metafile = true;
      build.onEnd(({ metafile }) => {
        const bytes = Object.values(metafile?.outputs ?? {}).reduce((sum, output) => sum + output.bytes, 0);
        if (bytes <= maxBytes) return null;
        const text = `the bundle has ${bytes} bytes, more than ${maxBytes}: see with esbuild's --analyze what came in, or raise the limit`;
        return { errors: [{ text }] };
      });
    },
  };
}
