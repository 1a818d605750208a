import './scripts/needs-node-24.mjs';
import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';

const FAST = ['test', 'scripts', 'examples', 'docs'].map((folder) => `${folder}/**/*.test.ts`);
const SLOW = '**/*.slow.test.ts';
// Ruby packages, some of which contain tests.
const VENDOR = 'examples/chef/vendor/**';
const PROOF = 'scripts/proof/drain.slow.test.ts';

export default defineConfig({
  test: {
    setupFiles: ['test/helpers/environment.ts'],
    unstubEnvs: true,
    restoreMocks: true,
    // More than the default, which is one worker fewer than CPUs: many tests wait for a socket or a process.
    maxWorkers: Math.max(4, availableParallelism()),
    projects: [
      {
        extends: true,
        // Needs nothing beyond npm.
        test: { name: 'fast', include: FAST, exclude: [SLOW, VENDOR] },
      },
      {
        extends: true,
        // Starts HAProxy, socat, the AWS CLI or Chef, or waits for real seconds.
        test: { name: 'slow', include: [SLOW], exclude: [PROOF, VENDOR], testTimeout: 120_000, hookTimeout: 120_000 },
      },
      {
        extends: true,
        // Runs after the others, because other work on the machine would slow down the load of the proof.
        test: { name: 'slow-alone', include: [PROOF], sequence: { groupOrder: 1 }, testTimeout: 120_000 },
      },
    ],
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
