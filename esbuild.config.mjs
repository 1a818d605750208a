import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { analyzeMetafile } from 'esbuild';

const PROJECT = fileURLToPath(new URL('.', import.meta.url));

// The bundle's size plus 2 %.
const MAX_BYTES = 141_470;

/**
 * Adapts the AWS SDK to Lambda. `npm run bench -- cold-start` shows the effect. Signing, endpoint rules and the reading
 * of errors do not change.
 * @type {import('esbuild').Plugin[]}
 */
export const steps = [
  // The schemas of EC2's 700 operations have computed keys such as [_xN], which esbuild takes for side effects. With plain
  // keys, esbuild drops all schemas but those of the two commands.
  change('unused schemas', { '@aws-sdk/client-ec2/dist-es/schemas/schemas_0.js': plainKeys }),
  // The SDK selects its platform with these files. The Node versions pull in clients of five more services (for
  // credentials) and the readers of ~/.aws. The browser versions of the last two do not read ~/.aws.
  change('code for other platforms', {
    '@aws-sdk/client-ec2/dist-es/runtimeConfig.js': resolve(PROJECT, 'scripts/runtime-config.ts'),
    '@smithy/core/dist-es/submodules/endpoints/index.js': 'index.browser.js',
    '@aws-sdk/core/dist-es/submodules/httpAuthSchemes/index.js': 'index.browser.js',
  }),
];

/**
 * Bundles the function into one CommonJS file, which Lambda loads as `index.handler`.
 * @type {import('esbuild').BuildOptions}
 */
export default {
  // The names of the source files must not depend on the project's folder.
  absWorkingDir: PROJECT,
  entryPoints: { index: 'src/handler.ts' },
  bundle: true,
  platform: 'node',
  target: 'node24',
  format: 'cjs',
  minify: true,
  // esbuild can drop unused parts of ES modules only.
  mainFields: ['module', 'main'],
  legalComments: 'none',
  // import('node:http') starts Node's loader of ES modules and evaluates every getter of the module, undici's too.
  supported: { 'dynamic-import': false },
  // Lets a tracing layer replace the handler. esbuild's own export cannot be changed.
  footer: { js: 'module.exports = { ...module.exports };' },
  // EC2 has no event streams. Their dynamic import would stop esbuild from dropping unused parts of shared modules.
  external: ['@smithy/core/event-streams'],
  plugins: [...steps, { name: 'size', setup: limitSize }],
};

/**
 * @param {string} name
 * @param {Record<string, string | ((text: string) => string)>} files by path below node_modules: the path of the
 *   replacement, or a function that changes the text
 * @returns {import('esbuild').Plugin}
 */
function change(name, files) {
  return {
    name,
    setup(build) {
      for (const [file, change] of Object.entries(files)) {
        const filter = new RegExp(`/node_modules/${file.replaceAll('.', '\\.')}$`.replaceAll('/', '[\\\\/]'));
        build.onLoad({ filter }, async ({ path }) => {
          const source = typeof change === 'string' ? resolve(dirname(path), change) : path;
          const text = await readFile(source, 'utf8');
          const contents = typeof change === 'string' ? text : change(text);
          return { contents, loader: 'ts', resolveDir: dirname(source) };
        });
      }
    },
  };
}

/** @param {string} text */
function plainKeys(text) {
  const constants = new Map(
    [...text.matchAll(/^const (\w+) = ("[^"\n]*");$/gm)].map(([, name, value]) => [name, value]),
  );
  return text.replace(/\[(\w+)\]:/g, (key, name) => (constants.has(name) ? `${constants.get(name)}:` : key));
}

/** @param {import('esbuild').PluginBuild} build */
function limitSize(build) {
  build.initialOptions.metafile = true;
  build.onEnd(async ({ metafile = { inputs: {}, outputs: {} } }) => {
    const bytes = Object.values(metafile.outputs).reduce((sum, output) => sum + output.bytes, 0);
    if (bytes <= MAX_BYTES) return null;
    const largest = (await analyzeMetafile(metafile)).split('\n').slice(0, 10).join('\n');
    const text = `the bundle has ${bytes} bytes; MAX_BYTES in esbuild.config.mjs is ${MAX_BYTES}. After an update of the AWS SDK, a step in that file may no longer work. The largest parts:${largest}`;
    return { errors: [{ text }] };
  });
}
