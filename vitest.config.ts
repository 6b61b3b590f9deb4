import { defineConfig } from 'vitest/config';

/** Unit, property and in-process tests; black-box suites over real processes are `test/**\/*.tap.ts`. */
export default defineConfig({
  test: {
    include: ['{proto,proxy,control-plane,redirect,cli,deploy,examples,test}/**/*.test.ts'],
    pool: 'threads',
    maxWorkers: 2,
    testTimeout: 30_000,
    hookTimeout: 30_000,
  },
});
