import { mkdtempDisposable, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { describe, expect, it } from "vitest";

import { keyRoles } from "../../../src/cli/commands/key.ts";
import { runCommandLine } from "../../../src/cli/run-command-line.ts";
import { TaskState } from "../../../src/gen/taskwatch/v1/task_pb.ts";
import type { ListTasksRequest, SubmitTaskRequest } from "../../../src/gen/taskwatch/v1/task_service_pb.ts";
import { parseApiKeys } from "../../../src/rpc/access/api-keys.ts";
import { roles } from "../../../src/rpc/methods.ts";
import { eventually } from "../../support/eventually.ts";
import { Failure, type Script, startScriptedService } from "../client/scripted-service.ts";
import { status } from "../client/watched-service.ts";
import { type FakeIo, fakeIo } from "./fake-io.ts";
import { screenAfter } from "./fake-terminal.ts";

const { QUEUED, RUNNING, SUCCEEDED, FAILED, CANCELLED } = TaskState;

/** Runs a command against a service. */
async function run(script: Script, words: readonly string[], io: FakeIo = fakeIo()) {
  await using service = await startScriptedService(script);
  const exitCode = await runCommandLine(["--address", service.address, ...words], io);
  return { exitCode, out: io.out.text, err: io.err.text, lines: jsonLines(io.out.text), calls: service.calls };
}

function jsonLines(text: string): unknown[] {
  if (!text.startsWith("{")) return [];
  return text
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as unknown);
}

const found: Script = {
  getStatus: ({ taskId }) => ({ status: { taskId, state: RUNNING } }),
  batchGetStatus: ({ taskIds }) => ({
    results: taskIds.map((taskId) =>
      taskId.startsWith("no")
        ? { result: { case: "error", value: { code: 5, reason: "TASK_NOT_FOUND", message: "task not found" } } }
        : { result: { case: "status", value: { taskId, state: RUNNING, type: "t" } } },
    ),
  }),
};

/** A service on which every watched task goes from RUNNING to this. */
function endingAs(state: TaskState): Script {
  return {
    ...found,
    watchStatus: (stream) => {
      for (const id of stream.request.taskIds) {
        stream.send(status(RUNNING, 1, { id, snapshot: true, token: "a" }));
        stream.send(status(state, 2, { id, merged: 3, token: "b" }));
      }
      stream.end();
    },
  };
}

describe("submit", () => {
  it("sends what the options say and writes the answer on one line", async () => {
    let seen: SubmitTaskRequest | undefined;
    const script: Script = {
      submitTask: (request) => {
        seen = request;
        return { status: { taskId: "q_1", state: QUEUED }, resumeToken: "after", duplicate: true };
      },
    };
    const words = ["submit", "sum", '{"a": [1]}', "--queue", "q", "-l", "a=b=c", "-l", "d=", "--priority", "high"];
    words.push("--delay", "1m", "--deadline", "2030-01-31T12:00:00Z", "--timeout", "10s", "--retention", "1d");
    words.push("--request-id", "r", "--max-attempts", "5");
    const result = await run(script, words);
    expect(result).toMatchObject({ exitCode: 0, err: "" });
    expect(result.lines).toEqual(
      [
        {
          status: { taskId: "q_1", state: "TASK_STATE_QUEUED", priority: "PRIORITY_NORMAL", revision: undefined },
          resumeToken: "after",
          duplicate: true,
        },
      ].map((line) => JSON.parse(JSON.stringify(line)) as unknown),
    );
    expect(seen).toMatchObject({
      queue: "q",
      type: "sum",
      labels: { a: "b=c", d: "" },
      priority: 3,
      start: { case: "delay", value: { seconds: 60n } },
      deadline: { seconds: BigInt(Date.parse("2030-01-31T12:00:00Z") / 1_000) },
      timeout: { seconds: 10n },
      retention: { seconds: 86_400n },
      requestId: "r",
      retryPolicy: { maxAttempts: 5 },
      payload: { value: { case: "json" } },
    });
  });

  it("takes the payload from standard input or a file, as JSON or as bytes", async () => {
    const payloads: unknown[] = [];
    const script: Script = {
      submitTask: ({ payload }) => {
        payloads.push(payload?.value.value, payload?.contentType);
        return { status: { taskId: "q_1" } };
      },
    };
    await using folder = await mkdtempDisposable(join(tmpdir(), "taskwatch-"));
    const path = join(folder.path, "payload.json");
    await writeFile(path, "7");
    expect((await run(script, ["submit", "t", "--file", "-"], fakeIo({ input: "7" }))).exitCode).toBe(0);
    expect((await run(script, ["submit", "t", "--file", path])).exitCode).toBe(0);
    expect((await run(script, ["submit", "t", "7", "--content-type", "text/plain"])).exitCode).toBe(0);
    expect((await run(script, ["submit", "t"])).exitCode).toBe(0);
    const seven = expect.objectContaining({ kind: { case: "numberValue", value: 7 } }) as unknown;
    expect(payloads).toEqual([seven, "", seven, "", Buffer.from("7"), "text/plain", undefined, undefined]);
  });

  it.each([
    [["submit", "t", "{a"], "the payload is not JSON"],
    [["submit", "t", "1", "--file", "-"], "give the payload or --file, not both"],
    [["submit", "t", "--file", "/no/such/file"], "cannot read /no/such/file"],
    [["submit", "t", "--wait", "--watch"], "--wait and --watch cannot be used together"],
    [["submit", "t", "--delay", "10"], '"10" is not a duration'],
    [["submit", "t", "--deadline", "2030-99-99"], "write a date such as"],
    [["submit", "t", "--label", "a"], "write name=value"],
    [["submit", "t", "--priority", "urgent"], "write one of low, normal, high"],
    [["submit", "t", "--max-attempts", "0"], "write a whole number from 1"],
    [["submit"], "missing required argument 'type'"],
    [["list", "--state", "running,done"], "write one of scheduled, queued"],
    [["watch"], "missing required argument 'id'"],
    [["wait", "q_1", "--timeout", "soon"], '"soon" is not a duration'],
    [["sumbit", "t"], "Did you mean submit?"],
    [["key", "create", "--name", "a b"], "is not a name"],
    [["key", "create", "--name", "a", "--roles", "read,root"], '"root" is none of'],
    [["worker", "--queue", "q", "--handlers", "/no/such/module.ts"], "cannot load /no/such/module.ts"],
  ])("%j is wrong usage", async (words, message) => {
    const result = await run({}, words);
    expect(result).toMatchObject({ exitCode: 2, out: "", calls: [] });
    expect(result.err).toContain(message);
  });

  it("says in one block what the service refuses", async () => {
    const fields = [{ field: "queue", description: "must match ^[a-z]+$", reason: "STRING_PATTERN" }];
    const script: Script = {
      submitTask: () => {
        throw new Failure(3, { message: "queue: must match", reason: "REQUEST_INVALID", fields });
      },
    };
    const result = await run(script, ["submit", "t", "--queue", "?", "--request-id", "r"]);
    expect(result).toMatchObject({ exitCode: 2, out: "" });
    expect(result.err).toBe(
      [
        "error: queue: must match",
        "  reason      REQUEST_INVALID (INVALID_ARGUMENT)",
        "  field       queue",
        "  rule        STRING_PATTERN: must match ^[a-z]+$",
        "  request id  r",
        "",
      ].join("\n"),
    );
  });

  it("waits for the end with --wait, and writes only that", async () => {
    const submitTask: Script["submitTask"] = () => ({ status: { taskId: "q_1", state: QUEUED } });
    const result = await run({ ...endingAs(SUCCEEDED), submitTask }, ["submit", "t", "--wait"]);
    expect(result).toMatchObject({ exitCode: 0, err: "" });
    expect(result.lines).toEqual([expect.objectContaining({ taskId: "q_1", state: "TASK_STATE_SUCCEEDED" })]);
    expect((await run({ ...endingAs(FAILED), submitTask }, ["submit", "t", "--wait"])).exitCode).toBe(1);
  });

  it("shows people the id, and what to do with it", async () => {
    const script: Script = { submitTask: () => ({ status: { taskId: "q_1", state: QUEUED } }) };
    const result = await run(script, ["submit", "t"], fakeIo({ terminal: true }));
    expect(result.out).toBe("q_1\n");
    expect(result.err).toBe("QUEUED; taskwatch watch q_1\n");
  });
});

describe("watch", () => {
  it("writes each event on one line, with the names of the API", async () => {
    const result = await run(endingAs(SUCCEEDED), ["watch", "q_1"]);
    expect(result).toMatchObject({ exitCode: 0, err: "" });
    const { lines } = result;
    expect(lines).toEqual([
      {
        resumeToken: "a",
        status: { snapshot: true, status: expect.objectContaining({ state: "TASK_STATE_RUNNING" }) as unknown },
      },
      {
        resumeToken: "b",
        status: {
          merged: 3,
          status: expect.objectContaining({ taskId: "q_1", state: "TASK_STATE_SUCCEEDED", revision: "2" }) as unknown,
        },
      },
    ]);
  });

  it.each([
    [SUCCEEDED, 0],
    [FAILED, 1],
    [CANCELLED, 1],
    [TaskState.EXPIRED, 1],
  ])("tells by the exit code how it ended: state %i is %i", async (state, exitCode) => {
    expect((await run(endingAs(state), ["watch", "q_1", "q_2"])).exitCode).toBe(exitCode);
  });

  it("draws one line a task on a terminal, in place, and leaves the last", async () => {
    const io = fakeIo({ terminal: true, environment: { NO_COLOR: "1" } });
    const result = await run(endingAs(SUCCEEDED), ["watch", "q_1", "q_2"], io);
    expect(result).toMatchObject({ exitCode: 0, err: "" });
    const { lines, cursor } = screenAfter(result.out, 80);
    expect(lines.map((line) => line.trim().split(/ +/))).toEqual([["q_1", "SUCCEEDED"], ["q_2", "SUCCEEDED"], [""]]);
    expect(cursor).toBe(true);
  });

  it("uses colours on a terminal, and none where NO_COLOR is set", async () => {
    const colourful = await run(endingAs(SUCCEEDED), ["watch", "q_1"], fakeIo({ terminal: true }));
    expect(colourful.out).toContain("\u001B[32mSUCCEEDED");
    const io = fakeIo({ terminal: true, environment: { NO_COLOR: "1" } });
    expect((await run(endingAs(SUCCEEDED), ["watch", "q_1"], io)).out).not.toContain("\u001B[32m");
  });

  it("writes plain lines when a table is asked for in a pipe", async () => {
    const { out } = await run(endingAs(SUCCEEDED), ["watch", "q_1", "-o", "table"]);
    expect(out.split("\n").map((line) => line.split(/ +/).slice(0, 2))).toEqual([
      ["q_1", "RUNNING"],
      ["q_1", "SUCCEEDED"],
      [""],
    ]);
  });

  it("goes on when the connection breaks, and says so", async () => {
    let streams = 0;
    const script: Script = {
      ...found,
      watchStatus: (stream) => {
        streams += 1;
        if (streams === 1) stream.end(new Failure(14, { message: "going down", reason: "DRAINING" }));
        else stream.send(status(SUCCEEDED, 2));
      },
    };
    const result = await run(script, ["watch", "q_1"]);
    expect(result.exitCode).toBe(0);
    expect(result.err).toMatch(/^going down; continues in \d+ms\n$/);
  });

  it("says at once that there is no such task", async () => {
    const result = await run(found, ["watch", "q_1", "no_2"]);
    expect(result).toMatchObject({ exitCode: 3, out: "", calls: ["batchGetStatus"] });
    expect(result.err).toContain("reason      TASK_NOT_FOUND (NOT_FOUND)");
  });

  it("ends with 3 when a task goes away before its end", async () => {
    const watchStatus: Script["watchStatus"] = (stream) =>
      stream.send({ event: { case: "removed", value: { taskId: "q_1", reason: 2 } } });
    const result = await run({ ...found, watchStatus }, ["watch", "q_1"]);
    expect(result).toMatchObject({ exitCode: 3, err: "q_1 is gone (deleted)\n" });
    expect(result.lines).toEqual([{ removed: { taskId: "q_1", reason: "REASON_DELETED" }, resumeToken: "" }]);
  });

  it("ends with 130 when it is interrupted, and gives the cursor back", async () => {
    const io = fakeIo({ terminal: true });
    const watchStatus: Script["watchStatus"] = (stream) => stream.send(status(RUNNING, 1));
    const running = run({ ...found, watchStatus }, ["watch", "q_1"], io);
    await eventually("the first frame", () => io.out.text.includes("RUNNING"));
    io.interrupt();
    const result = await running;
    expect(result.exitCode).toBe(130);
    expect(screenAfter(result.out, 80).cursor).toBe(true);
    expect(result.err).toContain("interrupted");
  });
});

describe("wait", () => {
  it("writes the last status of each task", async () => {
    const result = await run(endingAs(CANCELLED), ["wait", "q_1", "q_2"]);
    expect(result.exitCode).toBe(1);
    expect(result.lines).toMatchObject([{ taskId: "q_1", state: "TASK_STATE_CANCELLED" }, { taskId: "q_2" }]);
  });

  it("ends with 124 when the time is over", async () => {
    const watchStatus: Script["watchStatus"] = (stream) => stream.send(status(RUNNING, 1));
    const result = await run({ ...found, watchStatus }, ["wait", "q_1", "--timeout", "50ms"]);
    expect(result).toMatchObject({ exitCode: 124, out: "" });
    expect(result.err).toContain("error: not ended within 50ms");
  });

  it("draws on the other output when its data goes into a pipe", async () => {
    const io = fakeIo({ terminal: true });
    Object.assign(io.out, { isTerminal: false });
    const result = await run(endingAs(SUCCEEDED), ["wait", "q_1"], io);
    expect(result.lines).toMatchObject([{ state: "TASK_STATE_SUCCEEDED" }]);
    expect(screenAfter(result.err, 80).lines[0]).toContain("SUCCEEDED");
  });
});

describe("get", () => {
  it("writes what is found, and ends with 3 if one is not", async () => {
    const result = await run(found, ["get", "q_1", "no_2", "q_3"]);
    expect(result.exitCode).toBe(3);
    expect(result.lines).toMatchObject([{ taskId: "q_1" }, { taskId: "q_3" }]);
    expect(result.err).toContain("error: task not found");
  });

  it("shows one task in full on a terminal, and several as a table", async () => {
    expect((await run(found, ["get", "q_1"], fakeIo({ terminal: true }))).out).toContain("Attempts");
    const { out } = await run(found, ["get", "q_1", "q_2", "-o", "table"]);
    expect(out.split("\n")[0]).toMatch(/^ID +TYPE +STATE/);
  });
});

describe("list", () => {
  it("asks for what the options say, and stops at the limit", async () => {
    const requests: ListTasksRequest[] = [];
    const script: Script = {
      listTasks: (request) => {
        requests.push(request);
        return { statuses: [{ taskId: "a" }, { taskId: "b" }], nextPageToken: "more" };
      },
    };
    const words = [
      "list",
      "-q",
      "q",
      "-t",
      "x,y",
      "-s",
      "running",
      "-s",
      "Failed",
      "-l",
      "a=b",
      "--since",
      "1h",
      "-n",
      "3",
    ];
    const result = await run(script, words);
    expect(result).toMatchObject({ exitCode: 0, lines: [{ taskId: "a" }, { taskId: "b" }, { taskId: "a" }] });
    expect(requests).toHaveLength(2);
    expect(requests[0]).toMatchObject({
      selector: { queues: ["q"], types: ["x", "y"], states: [RUNNING, FAILED], labels: { a: "b" } },
      pageSize: 3,
    });
    const sinceMs = Number(requests[0]?.createdAfter?.seconds) * 1_000;
    expect(Math.abs(Date.now() - 3_600_000 - sinceMs)).toBeLessThan(60_000);
  });

  it("says that there is nothing", async () => {
    const result = await run({ listTasks: () => ({}) }, ["list", "-o", "table"]);
    expect(result).toMatchObject({ exitCode: 0, out: "", err: "no such tasks\n" });
  });
});

describe("cancel", () => {
  it("passes on why and for how long, and writes the status", async () => {
    let seen: unknown;
    const script: Script = {
      cancelTask: (request) => {
        seen = request;
        return { status: { taskId: "q_1", state: TaskState.CANCELLING } };
      },
    };
    const result = await run(script, ["cancel", "q_1", "--reason", "too late", "--grace", "5s"]);
    expect(result).toMatchObject({ exitCode: 0, lines: [{ state: "TASK_STATE_CANCELLING" }] });
    expect(seen).toMatchObject({ taskId: "q_1", reason: "too late", grace: { seconds: 5n } });
  });

  it.each([
    [5, "TASK_NOT_FOUND", 3],
    [9, "TASK_ALREADY_ENDED", 5],
    [16, "CREDENTIAL_MISSING", 5],
    [3, "REQUEST_INVALID", 2],
    [4, "DEADLINE_EXCEEDED", 124],
  ])("ends after status %i (%s) with %i", async (code, reason, exitCode) => {
    const script: Script = {
      cancelTask: () => {
        throw new Failure(code, { reason });
      },
    };
    const result = await run(script, ["cancel", "q_1"]);
    expect(result).toMatchObject({ exitCode, out: "" });
    expect(result.err).toContain(reason);
    expect(result.err).not.toContain("    at ");
  });
});

describe("the command line", () => {
  it("ends with 4 where nothing answers, and says where it looked", async () => {
    const io = fakeIo({ environment: { TASKWATCH_ADDRESS: "127.0.0.1:1" } });
    expect(await runCommandLine(["get", "q_1"], io)).toBe(4);
    expect(io.err.text).toContain("nothing answers at 127.0.0.1:1");
  });

  it("takes the API key from the environment", async () => {
    let authorization: unknown;
    const script: Script = {
      getStatus: (_request, { metadata }) => {
        [authorization] = metadata.get("authorization");
        return { status: {} };
      },
    };
    await run(script, ["get", "q_1"], fakeIo({ environment: { TASKWATCH_API_KEY: "tw_1" } }));
    expect(authorization).toBe("Bearer tw_1");
  });

  it("shows help with all exit codes, and its version", async () => {
    const io = fakeIo();
    expect(await runCommandLine(["--help"], io)).toBe(0);
    for (const code of ["0", "1", "2", "3", "4", "5", "124", "130"])
      expect(io.out.text).toMatch(new RegExp(`^  ${code} `, "m"));
    const other = fakeIo();
    expect(await runCommandLine(["--version"], other)).toBe(0);
    expect(other.out.text).toMatch(/^\d+\.\d+\.\d+\n$/);
    expect(await runCommandLine([], fakeIo())).toBe(2);
  });

  it("makes keys that the service takes", async () => {
    const io = fakeIo();
    const words = ["key", "create", "--name", "checkout", "--namespace", "shop", "--roles", "submit,read"];
    expect(await runCommandLine([...words, "--expires", "2030-01-31T12:00:00Z"], io)).toBe(0);
    const { key, entry } = JSON.parse(io.out.text) as { key: string; entry: object };
    expect(key).toMatch(/^tw_[A-Za-z0-9_-]{43}$/);
    expect(parseApiKeys("file", JSON.stringify({ keys: [entry] }))).toMatchObject([
      { name: "checkout", namespace: "shop", roles: ["submit", "read"], expiresMs: Date.parse("2030-01-31T12:00:00Z") },
    ]);
    expect(keyRoles).toEqual(roles);
  });
});
