import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const PROJECT = fileURLToPath(new URL('.', import.meta.url));

/**
 * How the AWS SDK is fitted to Lambda. `npm run bench -- cold-start` shows the steps one on top of the last. Signing,
 * endpoint rules, error parsing, and the distinction of transient and permanent errors stay the SDK's own.
 * @type {import('esbuild').Plugin[]}
 */
export const steps = [
  // The schemas of EC2's 700 operations have keys such as [_xN], and esbuild takes such keys for side effects. With the
  // constants written in place it drops all schemas but those of the two commands.
  change('unused schemas', '@aws-sdk/client-ec2/dist-es/schemas/schemas_0.js', (text) => {
    const constants = new Map(
      [...text.matchAll(/^const (\w+) = ("[^"\n]*");$/gm)].map(([, name, value]) => [name, value]),
    );
    return text.replace(/\[(\w+)\]:/g, (key, name) => (constants.has(name) ? `${constants.get(name)}:` : key));
  }),
  // By such files the SDK picks its platform. Node's bring credential providers that are clients of five more services, and
  // what looks for settings in ~/.aws. What Lambda has is in runtime-config.ts; the two others are the SDK's own choice for
  // browsers, which have no ~/.aws either. These two gain 2 %, in 200 pairs with and without them.
  replace('what only other platforms need', {
    '@aws-sdk/client-ec2/dist-es/runtimeConfig.js': resolve(PROJECT, 'scripts/runtime-config.ts'),
    '@smithy/core/dist-es/submodules/endpoints/index.js': 'index.browser.js',
    '@aws-sdk/core/dist-es/submodules/httpAuthSchemes/index.js': 'index.browser.js',
  }),
  // import('node:http') starts Node's loader of ES modules and evaluates every getter of the module, and undici with it.
  atRunTime("import() of Node's modules", /^node:/, { supported: { 'dynamic-import': false } }),
  // EC2 has no event streams. Their import at run time keeps whole every module that they have in common with the rest:
  // 4 %, in 100 pairs.
  atRunTime('event streams', /^@smithy\/core\/event-streams$/, { external: ['@smithy/core/event-streams'] }),
];

/**
 * How the function is bundled: one CommonJS file, which Lambda loads as `index.handler`.
 * @type {import('esbuild').BuildOptions}
 */
export default {
  // The names of the source files must not depend on where the project lies.
  absWorkingDir: PROJECT,
  entryPoints: { index: 'src/handler.ts' },
  bundle: true,
  platform: 'node',
  target: 'node24',
  format: 'cjs',
  minify: true,
  // ES modules first: esbuild sees what of them is unused.
  mainFields: ['module', 'main'],
  legalComments: 'none',
  plugins: [...steps, limitSize(140_000)],
};

/**
 * A step that changes the text of a dependency's file.
 * @param {string} name
 * @param {string} file below node_modules
 * @param {(text: string) => string} edit
 */
export function change(name, file, edit) {
  return load(name, [file], async (path) => {
    const text = await readFile(path, 'utf8');
    const contents = edit(text);
    return contents === text ? voidStep(`finds nothing to change in ${file}`) : { contents };
  });
}

/**
 * A step that takes other files in the place of a dependency's.
 * @param {string} name
 * @param {Record<string, string>} files absolute, or in the same folder; by the files below node_modules
 */
function replace(name, files) {
  return load(name, Object.keys(files), async (path, file) => {
    const other = resolve(dirname(path), files[file] ?? '');
    return { contents: await readFile(other), loader: other.endsWith('.ts') ? 'ts' : 'js', resolveDir: dirname(other) };
  });
}

/**
 * @param {string} name
 * @param {string[]} files below node_modules
 * @param {(path: string, file: string) => Promise<import('esbuild').OnLoadResult>} read
 */
function load(name, files, read) {
  const filters = files.map((file) => ({
    file,
    filter: new RegExp(`(^|/)node_modules/${file.replaceAll('.', '\\.')}$`.replaceAll('/', '[\\\\/]')),
  }));
  return step(
    name,
    (build) => {
      for (const { file, filter } of filters) build.onLoad({ filter }, ({ path }) => read(path, file));
    },
    (inputs) => filters.find(({ filter }) => !inputs.some(({ path }) => filter.test(path)))?.file,
  );
}

/**
 * A step that sets options of esbuild for what the SDK imports at run time.
 * @param {string} name
 * @param {RegExp} imported
 * @param {import('esbuild').BuildOptions} options
 */
function atRunTime(name, imported, options) {
  return step(
    name,
    (build) => void Object.assign(build.initialOptions, options),
    (inputs) =>
      inputs.some(({ imports }) => imports.some(({ kind, path }) => kind === 'dynamic-import' && imported.test(path)))
        ? undefined
        : `import() of ${imported.source}`,
  );
}

/**
 * A step that fails the build when the bundle has nothing of what the step is for.
 * @param {string} name
 * @param {(build: import('esbuild').PluginBuild) => void} setup
 * @param {(inputs: { path: string, imports: { kind: string, path: string }[] }[]) => string | undefined} findMissing
 *   looks through the files of which something is in the bundle
 * @returns {import('esbuild').Plugin}
 */
function step(name, setup, findMissing) {
  return {
    name,
    setup(build) {
      build.initialOptions.metafile = true;
      setup(build);
      build.onEnd(({ metafile }) => {
        const inputs = Object.values(metafile?.outputs ?? {}).flatMap((output) =>
          Object.entries(output.inputs)
            .filter(([, { bytesInOutput }]) => bytesInOutput > 0)
            .map(([path]) => ({ path, imports: metafile?.inputs[path]?.imports ?? [] })),
        );
        const missing = findMissing(inputs);
        return missing ? voidStep(`finds no ${missing} in the bundle`) : null;
      });
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
function limitSize(maxBytes) {
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
