import './scripts/needs-node-24.mjs';
import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';

const FAST = ['test', 'scripts', 'examples', 'docs'].map((folder) => `${folder}/**/*.test.ts`);
const SLOW = '**/*.slow.test.ts';
// Ruby's packages.
const VENDOR = 'examples/chef/vendor/**';
const PROOF = 'scripts/proof/drain.slow.test.ts';

export default defineConfig({
  test: {
    setupFiles: ['test/helpers/environment.ts'],
    unstubEnvs: true,
    restoreMocks: true,
    // The default is one worker fewer than CPUs. Many tests wait for a socket or a process, not for the CPU.
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
        // Runs after the others, because its verdict is about latencies under load.
        test: { name: 'slow-alone', include: [PROOF], sequence: { groupOrder: 1 }, testTimeout: 120_000 },
      },
    ],
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
