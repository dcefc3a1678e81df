import type { Reporter, TestCase, TestModule } from "vitest/node";

/**
 * Ends a run with one plain line, `N passed, N failed` and, where there are any, `, N skipped`; names every skipped test
 * with its reason before it. On CI (`CI` is set) a skipped test fails the run: there, everything that tests need is there.
 */
export default class SummaryReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly unknown[]): void {
    const tests = modules.flatMap((module) => [...module.children.allTests()]);
    const passed = tests.filter((test) => test.result().state === "passed").length;
    const skipped = tests.filter((test) => test.result().state === "skipped");
    const failed = tests.length - passed - skipped.length + brokenModules(modules) + unhandledErrors.length;

    for (const test of skipped)
      console.log(`skipped: ${test.module.relativeModuleId} > ${test.fullName} (${reason(test)})`);
    if (skipped.length > 0 && (process.env["CI"] ?? "") !== "") {
      console.log("Tests were skipped, which fails a run on CI.");
      process.exitCode = 1;
    }
    console.log(`${passed} passed, ${failed} failed${skipped.length === 0 ? "" : `, ${skipped.length} skipped`}`);
  }
}

/** Files that failed as a whole: at import, or in a hook around their tests. */
function brokenModules(modules: readonly TestModule[]): number {
  return modules.filter(
    (module) =>
      module.state() === "failed" && [...module.children.allTests()].every((test) => test.result().state !== "failed"),
  ).length;
}

function reason(test: TestCase): string {
  const result = test.result();
  return (result.state === "skipped" ? result.note : undefined) ?? "no reason given";
}
