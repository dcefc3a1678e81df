import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

import { describe, expect, it } from "vitest";

import { TaskState } from "../../../src/gen/taskwatch/v1/task_pb.ts";
import { eventually } from "../../support/eventually.ts";
import { type ScriptedService, startScriptedService } from "../client/scripted-service.ts";
import { status } from "../client/watched-service.ts";
import { screenAfter } from "./fake-terminal.ts";

const { RUNNING, SUCCEEDED } = TaskState;
/** Of util-linux: runs a command on a terminal of its own. */
const terminalMaker = "script";
const program = fileURLToPath(new URL("../../../src/cli/main.ts", import.meta.url));

/** The command line on a terminal of its own. */
class OnTerminal implements AsyncDisposable {
  text = "";
  readonly ended: Promise<unknown>;
  readonly #child: ChildProcess;

  constructor(service: ScriptedService, words: string) {
    const command = `stty cols 80 rows 24; exec '${process.execPath}' '${program}' --address ${service.address} ${words}`;
    const env = { ...process.env, NO_COLOR: "1", TERM: "xterm", FORCE_COLOR: undefined };
    this.#child = spawn(terminalMaker, ["-qefc", command, "/dev/null"], { env, stdio: ["pipe", "pipe", "inherit"] });
    this.#child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      this.text += text;
    });
    this.ended = once(this.#child, "close").then(([code]: unknown[]) => code);
  }

  type(keys: string): void {
    this.#child.stdin?.write(keys);
  }

  get screen() {
    // A terminal's line discipline says the same in more words.
    return screenAfter(this.text.replaceAll("\r\n", "\n").replaceAll("^C", ""), 80);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.ended;
  }
}

function running() {
  return startScriptedService({
    getStatus: ({ taskId }) => ({ status: { taskId, state: RUNNING } }),
    watchStatus: (stream) => stream.send(status(RUNNING, 1, { snapshot: true })),
  });
}

// Elsewhere it takes other options.
describe.runIf(process.platform === "linux")("on a real terminal", () => {
  it("draws in place until the end, and leaves the last line and the cursor", { timeout: 20_000 }, async () => {
    await using service = await running();
    await using terminal = new OnTerminal(service, "watch q_1");
    await eventually("the first frame", () => terminal.screen.lines[0]?.includes("RUNNING"));
    expect(terminal.screen.cursor).toBe(false);
    service.streams[0]?.send(status(SUCCEEDED, 2));
    service.streams[0]?.end();
    expect(await terminal.ended).toBe(0);
    const { lines, cursor } = terminal.screen;
    expect(lines.map((line) => line.trim().split(/ +/))).toEqual([["q_1", "SUCCEEDED"], [""]]);
    expect(cursor).toBe(true);
  });

  it("gives the terminal back at Ctrl-C", { timeout: 20_000 }, async () => {
    await using service = await running();
    await using terminal = new OnTerminal(service, "watch q_1");
    await eventually("the first frame", () => terminal.screen.lines[0]?.includes("RUNNING"));
    terminal.type("\u0003");
    expect(await terminal.ended).toBe(130);
    expect(terminal.screen.cursor).toBe(true);
    expect(terminal.screen.lines.at(-2)).toBe("error: interrupted; what was submitted goes on: taskwatch watch q_1");
    await service.streams[0]?.cancelled;
  });
});
