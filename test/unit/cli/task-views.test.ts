import { describe, expect, it } from "vitest";

import { clipText, plainText, textWidth } from "../../../src/cli/screen/screen-text.ts";
import { plainStyle } from "../../../src/cli/screen/style.ts";
import { taskDetail } from "../../../src/cli/screen/task-detail.ts";
import { taskFrame } from "../../../src/cli/screen/task-frame.ts";
import { progressBar, taskLine } from "../../../src/cli/screen/task-line.ts";
import { statusTable } from "../../../src/cli/screen/write-statuses.ts";
import type { TaskStatus } from "../../../src/client/index.ts";
import { aStatus, now, secondsAgo } from "./a-status.ts";

const nowMs = now.getTime();
const line = (changes: Partial<TaskStatus>, columns = 200) => taskLine(aStatus(changes), { columns, nowMs });
const running = { state: "RUNNING", attempt: 1, startedAt: secondsAgo(3.2) } as const;
const progress = { done: 12, total: 27, unit: "files", message: "reading", fraction: 12 / 27 } as const;
const failure = { code: "HANDLER_ERROR", message: "boom", retryable: true, details: {} } as const;

describe("a task on one line", () => {
  it("shows how far it is, for how long it runs, and what it says", () => {
    expect(line({ ...running, progress })).toBe(
      "demo_01h2xcejqtf2nbrexx3vqjhp41  checksum  RUNNING     ████████░░░░░░░░░░░░   44%  12/27 files  3.2s  reading",
    );
  });

  it("shows bytes as people write them, and no bar where the total is not known", () => {
    const bytes = { done: 1_572_864, total: undefined, unit: "bytes", message: "", fraction: undefined };
    expect(line({ ...running, progress: bytes })).toContain("RUNNING     1.5 MiB  3.2s");
  });

  it("shows why a task waits", () => {
    expect(line({ wait: { reason: "WORKER", until: undefined } })).toContain("QUEUED      waits for a worker");
    expect(line({ wait: { reason: "NO_WORKER", until: undefined } })).toContain("no worker serves the queue");
    const wait = { reason: "SCHEDULE", until: secondsAgo(-200) } as const;
    expect(line({ state: "SCHEDULED", wait })).toContain("SCHEDULED   in 3m 20s");
    expect(line({ state: "SCHEDULED", wait: { ...wait, until: secondsAgo(1) } })).toContain("now due");
  });

  it("shows attempts and what went wrong with the last one", () => {
    const attempt = {
      number: 1,
      worker: "w",
      startedAt: now,
      endedAt: now,
      outcome: "FAILED",
      error: failure,
    } as const;
    expect(line({ ...running, attempt: 2, attempts: [attempt] })).toContain(
      "3.2s  attempt 2/3 · before: HANDLER_ERROR: boom",
    );
    const wait = { reason: "BACKOFF", until: secondsAgo(-2) } as const;
    expect(line({ state: "RETRYING", attempt: 1, wait, error: failure })).toContain("in 2.0s · HANDLER_ERROR: boom");
  });

  it("shows how it ended", () => {
    const ended = { startedAt: secondsAgo(10), endedAt: secondsAgo(6), progress } as const;
    expect(line({ state: "SUCCEEDED", ...ended, result: { sum: 3 } })).toMatch(
      /SUCCEEDED {3}12\/27 files {2}4.0s {2}\{"sum":3\}$/,
    );
    expect(line({ state: "FAILED", ...ended, error: failure })).toContain("4.0s  HANDLER_ERROR: boom");
    const cancellation = { requestedBy: "ann", reason: "too late", requestedAt: now, graceMs: 0 };
    expect(line({ state: "CANCELLED", cancellation })).toContain("cancelled by ann · too late");
    expect(line({ state: "SUCCEEDED", result: new Uint8Array(2_048), resultContentType: "image/png" })).toContain(
      "2.0 KiB of image/png",
    );
  });

  it("is never wider than the terminal, whatever it is made of", () => {
    const message = "漢字 and 👩‍👩‍👧 and more than fits";
    for (let columns = 1; columns <= 140; columns += 1) {
      const text = line({ ...running, progress: { ...progress, message } }, columns);
      expect(textWidth(text)).toBeLessThanOrEqual(columns);
    }
    expect(line({ ...running }, 60)).toMatch(/^…3vqjhp41 {2}checksum {2}RUNNING/);
  });

  it("lets nobody else write to the terminal", () => {
    const message = "\u001B[2J\u001B]0;title\u0007new\r\nline\u202E";
    expect(line({ ...running, progress: { ...progress, message } })).toMatch(/3\.2s {2}new line$/);
    expect(line({ type: "\u001B[31mred" })).toContain("  red  ");
  });

  it("does not go below zero when the clocks differ", () => {
    expect(line({ ...running, startedAt: secondsAgo(-5) })).toContain("  0ms");
  });
});

describe("a frame of tasks", () => {
  const tasks = Array.from({ length: 10 }, (_, index) =>
    aStatus({ taskId: `q_${index}`, state: index < 4 ? "SUCCEEDED" : index < 8 ? "QUEUED" : "RUNNING" }),
  );
  const ids = (lines: readonly string[]) => lines.map((text) => text.split(" ")[0]);

  it("keeps the order of the tasks", () => {
    expect(ids(taskFrame({ statuses: tasks }, { columns: 80, rows: 10, nowMs }))).toEqual(
      tasks.map(({ taskId }) => taskId),
    );
  });

  it("shows those that go on when not all fit, and counts the rest", () => {
    const lines = taskFrame({ statuses: tasks, notice: "connection lost" }, { columns: 80, rows: 6, nowMs });
    expect(ids(lines.slice(0, 4))).toEqual(["q_4", "q_5", "q_8", "q_9"]);
    expect(lines.slice(4)).toEqual(["… and 6 more, 4 of them ended", "connection lost"]);
  });
});

describe("text for a screen", () => {
  it("is measured in columns", () => {
    expect(textWidth("abc")).toBe(3);
    expect(textWidth("漢字")).toBe(4);
    expect(textWidth("\u001B[31mred\u001B[39m")).toBe(3);
    expect(clipText("漢字漢字", 5)).toBe("漢字…");
    expect(clipText("abc", 3)).toBe("abc");
    expect(clipText("abcd", 0)).toBe("");
    expect(plainText("a\u0000\u0007b\tc")).toBe("a b c");
    expect(progressBar(2, 4)).toBe("████");
    expect(progressBar(-1, 4)).toBe("░░░░");
  });
});

describe("a table of tasks", () => {
  it("has aligned columns, and cuts only remarks", () => {
    const statuses = [
      aStatus({ ...running, progress }),
      aStatus({
        taskId: "q_2",
        type: "t",
        state: "FAILED",
        attempt: 3,
        error: { ...failure, message: "x".repeat(99) },
      }),
    ];
    expect(statusTable(statuses, { columns: 100, nowMs, style: plainStyle }).split("\n")).toEqual([
      "ID                               TYPE      STATE    ATTEMPT  AGE     TIME  REMARK",
      "demo_01h2xcejqtf2nbrexx3vqjhp41  checksum  RUNNING  1/3      1m 30s  3.2s  reading",
      "q_2                              t         FAILED   3/3      1m 30s        HANDLER_ERROR: xxxxxxxxx…",
      "",
    ]);
  });
});

describe("the details of a task", () => {
  it("are all there is to know, the result last", () => {
    const text = taskDetail(
      aStatus({
        state: "SUCCEEDED",
        attempt: 2,
        startedAt: secondsAgo(30),
        endedAt: secondsAgo(10),
        expiresAt: secondsAgo(-86_400),
        labels: { customer: "c1", run: "r\u001B[2J2" },
        timeLedger: { queuedMs: 12, runningMs: 3_200, backoffMs: 1_000 },
        attempts: [
          {
            number: 1,
            worker: "w1",
            startedAt: secondsAgo(30),
            endedAt: secondsAgo(29),
            outcome: "FAILED",
            error: failure,
          },
          {
            number: 2,
            worker: "w2",
            startedAt: secondsAgo(28),
            endedAt: undefined,
            outcome: undefined,
            error: undefined,
          },
        ],
        result: { sum: [1] },
      }),
      { nowMs, style: plainStyle },
    );
    expect(text).toContain("State      SUCCEEDED\n");
    expect(text).toContain("Ended      2026-05-04T09:59:50.000Z (10.0s ago)\n");
    expect(text).toContain("Forgotten  2026-05-05T10:00:00.000Z (in 1d)\n");
    expect(text).toContain("Labels     customer=c1 run=r2\n");
    expect(text).toContain("Time       queued 12ms · running 3.2s · backoff 1.0s\n");
    expect(text).toContain("1        FAILED   1.0s   w1      HANDLER_ERROR: boom\n2        running  28.0s  w2\n");
    expect(text.endsWith('Result\n{\n  "sum": [\n    1\n  ]\n}\n')).toBe(true);
  });
});
