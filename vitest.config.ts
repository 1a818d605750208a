import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    setupFiles: ['test/environment.ts'],
    include: ['test/**/*.test.ts'],
    // Real sockets that hang, and processes that start: none of it quick on a busy machine.
    testTimeout: 60_000,
    hookTimeout: 60_000,
    unstubEnvs: true,
    restoreMocks: true,
  },
});
