import './scripts/needs-node-24.mjs';
import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';

const FOLDERS = '{test,scripts,examples,docs}';
const SLOW = `${FOLDERS}/**/*.slow.test.ts`;
const PROOF = 'scripts/proof/drain.slow.test.ts';
// Packages of npm and Ruby. npm links the workspaces into node_modules, where their tests would run again.
const PACKAGES = ['**/node_modules/**', 'examples/chef/vendor/**'];

export default defineConfig({
  test: {
    setupFiles: ['test/helpers/environment.ts'],
    unstubEnvs: true,
    restoreMocks: true,
    // More than the default, which is one worker fewer than CPUs: many tests wait for a socket or a process.
    maxWorkers: Math.max(4, availableParallelism()),
    testTimeout: 60_000,
    hookTimeout: 60_000,
    projects: [
      {
        extends: true,
        // Needs nothing beyond npm.
        test: { name: 'fast', include: [`${FOLDERS}/**/*.test.ts`], exclude: [SLOW, ...PACKAGES] },
      },
      {
        extends: true,
        // Starts HAProxy, socat, the AWS CLI or Chef, or waits for real seconds.
        test: {
          name: 'slow',
          include: [SLOW],
          exclude: [PROOF, ...PACKAGES],
          testTimeout: 120_000,
          hookTimeout: 120_000,
        },
      },
      {
        extends: true,
        // Runs after the others, because other work on the machine would slow down the load of the proof.
        test: { name: 'slow-alone', include: [PROOF], sequence: { groupOrder: 1 }, testTimeout: 120_000 },
      },
    ],
  },
});
