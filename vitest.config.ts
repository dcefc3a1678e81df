import { fileURLToPath } from "node:url";

import { defineConfig } from "vitest/config";

/** What examples import by the package's name is the source here, not a build of it. */
const alias = Object.fromEntries(
  ["client", "worker"].map((name) => [
    `taskwatch/${name}`,
    fileURLToPath(new URL(`src/${name}/index.ts`, import.meta.url)),
  ]),
);

export default defineConfig({
  test: {
    reporters: ["default", "./test/support/reporter.ts"],
    // Two processes saturate the smallest machine that this runs on: each has servers of its own beside it.
    maxWorkers: 2,
    retry: 0,
    // The groups run one after the other, so that what measures time is not disturbed by the rest.
    projects: [
      {
        resolve: { alias },
        test: {
          name: "unit",
          include: ["test/unit/**/*.test.ts"],
          testTimeout: 5_000,
          sequence: { groupOrder: 0 },
        },
      },
      {
        resolve: { alias },
        test: {
          name: "integration",
          include: ["test/{contract,integration}/**/*.test.ts"],
          globalSetup: ["./test/setup.ts"],
          testTimeout: 30_000,
          hookTimeout: 30_000,
          sequence: { groupOrder: 1 },
        },
      },
      {
        resolve: { alias },
        test: {
          name: "e2e",
          include: ["test/{e2e,examples,docs,deploy}/**/*.test.ts"],
          globalSetup: ["./test/setup.ts"],
          testTimeout: 120_000,
          hookTimeout: 60_000,
          maxWorkers: 1,
          sequence: { groupOrder: 2 },
        },
      },
    ],
  },
});
