import { defineConfig } from "vitest/config";
import { longestWait } from "./test/longest-wait.js";

export default defineConfig({
  test: {
    testTimeout: 60_000,
    hookTimeout: 60_000,
    pool: "forks",
    // By default one less than there are cores: on two, half of them would wait.
    maxWorkers: "100%",
    reporters: ["default", "./test/reporter.ts"],
    projects: [
      {
        extends: true,
        // `npm run test:quick`: no processes, servers or browsers; see CONTRIBUTING.md.
        test: { name: "unit", include: ["{src,web,nano}/**/*.test.ts"], exclude: ["nano/node_modules"] },
      },
      {
        extends: true,
        test: {
          name: "integration",
          include: ["test/**/*.test.ts"],
          // Several waits long.
          testTimeout: 3 * longestWait,
          hookTimeout: 3 * longestWait,
          expect: { poll: { timeout: longestWait } },
          // For a machine with WebGPU: `.ci/run` has it run on lavapipe.
          exclude: process.env.KOALA_SOFTWARE_ADAPTER === undefined ? ["test/webgpu*.test.ts"] : [],
        },
      },
    ],
  },
});
