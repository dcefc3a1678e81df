import { describe, expect, it } from "vitest";

import { LiveScreen } from "../../../src/cli/screen/live-screen.ts";
import { fakeOutput } from "./fake-io.ts";
import { screenAfter } from "./fake-terminal.ts";

describe("LiveScreen", () => {
  it("draws in place, leaves the last frame and gives the cursor back", () => {
    const output = fakeOutput(true, 20);
    let lines = ["one", "two", "three"];
    const screen = new LiveScreen(output, () => lines);
    expect(screenAfter(output.text, 20)).toEqual({ lines: ["one", "two", "three", ""], cursor: false });
    lines = ["ONE", "TWO"];
    screen.draw();
    expect(screenAfter(output.text, 20).lines).toEqual(["ONE", "TWO", ""]);
    lines = ["end"];
    screen[Symbol.dispose]();
    screen[Symbol.dispose]();
    expect(screenAfter(output.text, 20)).toEqual({ lines: ["end", ""], cursor: true });
  });

  it("writes nothing when nothing has changed", () => {
    const output = fakeOutput(true, 20);
    using screen = new LiveScreen(output, () => ["same"]);
    const { length } = output.text;
    screen.draw();
    expect(output.text).toHaveLength(length);
  });

  it("prints above what it draws", () => {
    const output = fakeOutput(true, 20);
    using screen = new LiveScreen(output, () => ["live"]);
    screen.print("first\n");
    screen.print("second\n");
    expect(screenAfter(output.text, 20).lines).toEqual(["first", "second", "live", ""]);
  });

  it("leaves no traces when the terminal becomes narrower", () => {
    const output = fakeOutput(true, 40);
    using screen = new LiveScreen(output, ({ columns }) => ["x".repeat(columns), "y"]);
    const before = screenAfter(output.text, 40);
    expect(before.lines).toEqual(["x".repeat(39), "y", ""]);
    // What was written comes out on two rows of the narrower terminal.
    output.text = before.lines.join("\n");
    output.resize(20);
    expect(screenAfter(output.text, 20).lines).toEqual(["x".repeat(19), "y", ""]);
    screen.draw();
  });
});
