import { execFile, spawn } from "node:child_process";
import { promisify } from "node:util";

import { errorFromConnectJson } from "./error-json.ts";
import { Refused, type ScenarioClient, type StatusJson } from "./scenario-client.ts";

const run = promisify(execFile);

/** curl, speaking Connect's JSON by hand: nothing of ours and nothing of Connect's. */
export function createCurlClient(curl: string, httpUrl: string): ScenarioClient {
  const url = (method: string) => `${httpUrl}/taskwatch.v1.TaskService/${method}`;
  return {
    async call(method, request) {
      const body = JSON.stringify(request);
      const format = "\n%{http_code}";
      const options = ["--silent", "--show-error", "--max-time", "30", "--write-out", format];
      const post = ["--header", "content-type: application/json", "--data", body, url(method)];
      const { stdout } = await run(curl, [...options, ...post]);
      const [text = "", status] = stdout.split(/\n(?=\d+$)/);
      const answer = JSON.parse(text) as Record<string, unknown>;
      if (status === "200") return answer;
      throw new Refused(errorFromConnectJson(answer));
    },

    async watch(taskId) {
      const message = Buffer.from(JSON.stringify({ taskIds: [taskId] }));
      const options = ["--silent", "--no-buffer", "--max-time", "30"];
      const post = ["--header", "content-type: application/connect+json", "--data-binary", "@-", url("WatchStatus")];
      const child = spawn(curl, [...options, ...post]);
      child.stdin.end(envelope(message));
      const chunks: Buffer[] = [];
      for await (const chunk of child.stdout) chunks.push(chunk as Buffer);
      const statuses: StatusJson[] = [];
      for (const { flags, text } of envelopes(Buffer.concat(chunks))) {
        const json = JSON.parse(text) as { status?: { status: StatusJson }; error?: Record<string, unknown> };
        if ((flags & 2) !== 0 && json.error !== undefined) throw new Refused(errorFromConnectJson(json.error));
        if (json.status !== undefined) statuses.push(json.status.status);
      }
      return statuses;
    },
  };
}

/** Connect's framing of streams: a byte of flags, four bytes of length, the message. */
function envelope(message: Buffer): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

function* envelopes(bytes: Buffer): Generator<{ readonly flags: number; readonly text: string }> {
  let offset = 0;
  while (offset + 5 <= bytes.length) {
    const length = bytes.readUInt32BE(offset + 1);
    yield { flags: bytes[offset] ?? 0, text: bytes.toString("utf8", offset + 5, offset + 5 + length) };
    offset += 5 + length;
  }
}
