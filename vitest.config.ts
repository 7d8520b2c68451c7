import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["src/**/*.test.ts", "web/**/*.test.ts", "nano/**/*.test.ts", "test/**/*.test.ts"],
    testTimeout: 60_000,
    pool: "forks",
    // By default one less than there are cores: on two, half of them would wait.
    maxWorkers: "100%",
    reporters: ["default", "./test/reporter.ts"],
  },
});
