import { type OxlintOverride, defineConfig } from "oxlint";

/**
 * The dependency rule: which folders of `src` a folder may import from. A folder that is not named may import none;
 * the files right under `src` are the process itself and may import all.
 */
const mayImport = {
  task: ["gen"],
  nats: ["task", "gen"],
  view: ["nats", "task", "gen"],
  operations: ["view", "nats", "task", "gen"],
  rpc: ["operations", "task", "gen"],
  worker: ["nats", "task", "gen"],
  client: ["task", "gen"],
  telemetry: ["task"],
  cli: ["client"],
  web: ["client"],
  dev: [],
} as const;

/** The only folders of `src` that may import a vendor's package. */
const vendors = [
  { packages: "@nats-io/", folders: ["nats"] },
  { packages: "@connectrpc/|@grpc/|grpc-health-check", folders: ["rpc", "client"] },
  { packages: "prom-client|pino", folders: ["telemetry"] },
  { packages: "commander", folders: ["cli"] },
  { packages: "node:sqlite", folders: ["view"] },
];

/** The domain decides and never does: what has effects, or a clock, stays out of it. */
const effects =
  "node:(?:fs|net|https?|http2|tls|dgram|dns|child_process|worker_threads|cluster|timers|process|os|perf_hooks)|@bufbuild/protovalidate";

export default defineConfig({
  plugins: ["typescript", "unicorn", "oxc", "import", "node", "promise", "vitest"],
  options: { typeAware: true, denyWarnings: true, reportUnusedDisableDirectives: "error" },
  categories: { correctness: "error", suspicious: "error" },
  ignorePatterns: ["src/gen/**", "dist/**", "coverage/**"],
  rules: {
    // A promise that is dropped is an outcome that nobody hears of.
    "typescript/no-floating-promises": "error",
    "typescript/no-misused-promises": "error",
    "typescript/return-await": ["error", "error-handling-correctness-only"],
    "typescript/only-throw-error": "error",
    "typescript/prefer-promise-reject-errors": "error",
    "eslint/no-promise-executor-return": ["error", { allowVoid: true }],

    // Types say what can happen, and the code believes them.
    "typescript/switch-exhaustiveness-check": ["error", { considerDefaultExhaustiveForUnions: true }],
    "typescript/no-unnecessary-condition": ["error", { allowConstantLoopConditions: "only-allowed-literals" }],
    "typescript/no-explicit-any": "error",
    "typescript/no-non-null-assertion": "error",
    "typescript/no-deprecated": "error",
    "typescript/consistent-type-imports": "error",
    "typescript/no-import-type-side-effects": "error",
    "typescript/ban-ts-comment": "error",
    "typescript/prefer-nullish-coalescing": "error",
    "typescript/prefer-readonly": "error",
    "typescript/restrict-template-expressions": ["error", { allowNumber: true, allowBoolean: true }],
    "eslint/eqeqeq": "error",
    "eslint/no-var": "error",
    "eslint/prefer-const": "error",
    "eslint/no-param-reassign": "error",
    "eslint/no-fallthrough": "error",
    "eslint/no-empty": "error",
    "eslint/no-unused-vars": ["error", { argsIgnorePattern: "^_", varsIgnorePattern: "^_" }],

    // Small rooms.
    "eslint/max-lines": ["error", { max: 300 }],
    "eslint/max-lines-per-function": ["error", { max: 70 }],
    "eslint/max-depth": ["error", 4],
    "eslint/max-params": ["error", 4],
    "eslint/complexity": ["error", 15],

    // One way to say it.
    "unicorn/filename-case": ["error", { case: "kebabCase" }],
    "unicorn/catch-error-name": ["error", { name: "error", ignore: ["^cause$"] }],
    "unicorn/prefer-node-protocol": "error",
    "unicorn/throw-new-error": "error",
    "import/no-cycle": "error",
    "import/no-default-export": "error",
    "import/no-duplicates": "error",

    // The process belongs to main.ts, the environment to config.ts; the command line and the start script are free.
    "eslint/no-console": "error",
    "node/no-process-env": "error",
    "unicorn/no-process-exit": "error",
    "eslint/no-restricted-properties": [
      "error",
      ...["exit", "exitCode", "on", "once"].map((property) => ({
        object: "process",
        property,
        message: "Only main.ts, src/cli and src/dev handle signals and exit codes.",
      })),
    ],

    // What the two categories hold and we do not.
    // A loop that awaits is how work is bounded.
    "eslint/no-await-in-loop": "off",
    // Marks what is not used.
    "eslint/no-underscore-dangle": "off",
    // Bytes become types by a cast after a check, at the edges.
    "typescript/no-unsafe-type-assertion": "off",
    // A small function may live inside the one that it serves.
    "unicorn/consistent-function-scoping": "off",
    // Written for windows; a MessagePort has no origin.
    "unicorn/require-post-message-target-origin": "off",
    // Written for documents; Node's emitters are another thing.
    "unicorn/prefer-add-event-listener": "off",
    // An array made in the same expression may be sorted in place.
    "unicorn/no-array-sort": "off",
    "unicorn/no-array-reverse": "off",
    "import/no-unassigned-import": "off",
    "promise/always-return": "off",
    "typescript/consistent-return": "off",
  },
  overrides: [
    { files: ["src/*.ts"], rules: importRule("*", { vendorsOnly: true }) },
    { files: ["src/*/**"], rules: importRule("*") },
    { files: ["src/*/*/**"], rules: importRule("*", { depth: 2 }) },
    ...Object.keys(mayImport).flatMap((folder) => [
      { files: [`src/${folder}/*.ts`], rules: importRule(folder) },
      { files: [`src/${folder}/*/**`], rules: importRule(folder, { depth: 2 }) },
    ]),
    // Two commands run a whole process in place, and the demo worker is a user of the worker's public face.
    {
      files: ["src/cli/commands/serve.ts"],
      rules: importRule("cli", { files: ["main.ts", "app.ts", "config.ts"], depth: 2 }),
    },
    {
      files: ["src/cli/commands/worker.ts", "src/cli/commands/worker-*.ts"],
      rules: importRule("cli", { files: ["worker/index.ts", "worker-process.ts"], depth: 2 }),
    },
    { files: ["src/dev/demo-*.ts"], rules: importRule("dev", { files: ["worker/index.ts"] }) },
    { files: ["src/config.ts"], rules: { "node/no-process-env": "off" } },
    { files: ["src/main.ts"], rules: { "unicorn/no-process-exit": "off", "eslint/no-restricted-properties": "off" } },
    {
      files: ["src/cli/**", "src/dev/**", "test/**", "bench/**", "deploy/**", "proto/**", "*.config.ts"],
      rules: {
        "eslint/no-console": "off",
        "node/no-process-env": "off",
        "unicorn/no-process-exit": "off",
        "eslint/no-restricted-properties": "off",
      },
    },
    {
      files: ["test/**", "bench/**"],
      rules: {
        "eslint/max-lines": ["error", { max: 500 }],
        // A `describe` is one function.
        "eslint/max-lines-per-function": "off",
        // What a test has just set up, it may take for granted; a missing one fails it all the same.
        "typescript/no-non-null-assertion": "off",
      },
    },
    // Their tools ask for a default export.
    {
      files: ["*.config.ts", "test/support/reporter.ts", "test/setup*.ts"],
      rules: { "import/no-default-export": "off" },
    },
  ],
});

/**
 * The dependency rule of one folder; `files` are single files below `src` that it may import besides. `depth` is 2 for the
 * folders inside it, which may import one another.
 */
function importRule(
  folder: string,
  options: { files?: readonly string[]; vendorsOnly?: boolean; depth?: 1 | 2 } = {},
): NonNullable<OxlintOverride["rules"]> {
  const folders: readonly string[] = folder in mayImport ? mayImport[folder as keyof typeof mayImport] : [];
  const files = options.files ?? [];
  const source = "../".repeat(options.depth ?? 1);
  const process = ["main.ts", "app.ts", "config.ts", "worker-process.ts"].filter((file) => !files.includes(file));
  const ours = {
    group: [
      `${source}*/**`,
      ...process.map((file) => source + file),
      ...folders.map((name) => `!${source}${name}/**`),
      ...files.map((file) => `!${source}${file}`),
    ],
    message: `src/${folder} may import from ${[...folders, ...files].join(", ") || "nothing of ours"}.`,
  };
  const pure = { regex: `^(?:${effects})`, message: "The domain is pure." };
  const theirs = vendors
    .filter((vendor) => !vendor.folders.includes(folder))
    .map(({ packages, folders: owners }) => ({
      regex: `^(?:${packages})`,
      message: `Only src/${owners.join(" and src/")} may import this.`,
    }));
  const patterns = [...(options.vendorsOnly ? [] : [ours]), ...(folder === "task" ? [pure] : []), ...theirs];
  return { "eslint/no-restricted-imports": ["error", { patterns }] };
}
