import { defineConfig } from "vitest/config";

const MINUTE = 60_000;

/** `--mode fuzz` runs the long versions of the random tests, for as long as they take: see `test/support/runs.ts`. */
export default defineConfig(({ mode }) => ({
  test: {
    include: ["test/**/*.test.ts"],
    testTimeout: mode === "fuzz" ? 240 * MINUTE : 5 * MINUTE,
    hookTimeout: 5 * MINUTE,
    pool: "threads",
  },
}));
