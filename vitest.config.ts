import './scripts/needs-node-24.mjs';
import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';

const SLOW = '**/*.slow.test.ts';
const PROOF = 'test/drain.slow.test.ts';

export default defineConfig({
  test: {
    setupFiles: ['test/environment.ts'],
    unstubEnvs: true,
    restoreMocks: true,
    // The default is one worker fewer than CPUs. Many tests wait for a socket or a process, not for the CPU.
    maxWorkers: Math.max(4, availableParallelism()),
    projects: [
      {
        extends: true,
        // Needs nothing beyond npm.
        test: { name: 'fast', include: ['test/**/*.test.ts'], exclude: [SLOW] },
      },
      {
        extends: true,
        // Starts HAProxy, socat, the AWS CLI or Chef, or waits for real seconds.
        test: { name: 'slow', include: [SLOW], exclude: [PROOF], testTimeout: 120_000, hookTimeout: 120_000 },
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
