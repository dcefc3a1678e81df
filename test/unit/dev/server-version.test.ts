import { expect, test } from "vitest";

import { isAtLeast, versionFrom } from "../../../src/dev/server-version.ts";

test.each([
  ["nats-server: v2.15.1\n", "2.15.1"],
  ["nats-server: v2.12.0-RC.3\n", "2.12.0"],
  ["2.9.10", "2.9.10"],
  ["ls (GNU coreutils) 9.1", undefined],
  ["", undefined],
])("the version in %j is %s", (output, version) => {
  expect(versionFrom(output)).toBe(version);
});

test.each([
  ["2.12.7", "2.12.7", true],
  ["2.12.10", "2.12.7", true],
  ["2.15.1", "2.12.7", true],
  ["3.0.0", "2.12.7", true],
  ["2.12.6", "2.12.7", false],
  ["2.9.10", "2.12.7", false],
  ["1.99.99", "2.12.7", false],
])("version %s against the floor %s: %s", (version, floor, enough) => {
  expect(isAtLeast(version, floor)).toBe(enough);
});
