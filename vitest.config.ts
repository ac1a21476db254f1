import { defineConfig } from "vitest/config";

/** `--mode fuzz` runs the long versions of the random tests: see `test/support/runs.ts`. */
export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    pool: "threads",
  },
});
