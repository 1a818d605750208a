import { fileURLToPath } from 'node:url';

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
  mainFields: ['module', 'main'],
  legalComments: 'none',
};
