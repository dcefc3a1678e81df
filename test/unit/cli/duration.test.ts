import { describe, expect, it } from "vitest";

import { formatDuration, parseDuration } from "../../../src/cli/duration.ts";

describe("parseDuration", () => {
  it.each([
    ["0", 0],
    ["500ms", 500],
    ["10s", 10_000],
    ["5m", 300_000],
    ["2h", 7_200_000],
    ["1d", 86_400_000],
    ["1h30m", 5_400_000],
    ["1.5h", 5_400_000],
    ["0.5ms", 1],
  ])("reads %s", (text, ms) => {
    expect(parseDuration(text)).toBe(ms);
  });

  it.each(["", "10", "s", "-5s", "10 s", "5 minutes", "1h x", "1e3s", "10sec", "٣s"])("refuses %j", (text) => {
    expect(() => parseDuration(text)).toThrow(`"${text}" is not a duration: write 500ms, 10s, 5m, 2h, 1d or 1h30m`);
  });
});

describe("formatDuration", () => {
  it.each([
    [0, "0ms"],
    [999, "999ms"],
    [1_000, "1.0s"],
    [59_949, "59.9s"],
    [59_999, "1m"],
    [200_000, "3m 20s"],
    [3_600_000, "1h"],
    [3_599_600, "1h"],
    [5_400_000, "1h 30m"],
    [187_200_000, "2d 4h"],
    [-1_500, "-1.5s"],
  ])("writes %i ms as %s", (ms, text) => {
    expect(formatDuration(ms)).toBe(text);
  });
});
