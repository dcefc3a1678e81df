import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { errorFromConnectJson } from "./error-json.ts";
import { Refused, type ScenarioClient, type StatusJson } from "./scenario-client.ts";

const run = promisify(execFile);
const buf = fileURLToPath(new URL("../../../node_modules/.bin/buf", import.meta.url));

/** `buf curl`: a gRPC client in Go that knows the schema only from the server's reflection. */
export function createBufCurlClient(grpcAddress: string): ScenarioClient {
  const invoke = async (method: string, request: object): Promise<string> => {
    const url = `http://${grpcAddress}/taskwatch.v1.TaskService/${method}`;
    const options = ["curl", "--http2-prior-knowledge", "--protocol", "grpc", "--data", JSON.stringify(request), url];
    try {
      return (await run(buf, options, { timeout: 30_000 })).stdout;
    } catch (error) {
      throw refusalFrom(error as { readonly stderr: string });
    }
  };
  return {
    async call(method, request) {
      return JSON.parse(await invoke(method, request)) as Record<string, unknown>;
    },
    async watch(taskId) {
      const text = await invoke("WatchStatus", { taskIds: [taskId] });
      const messages = jsonValues(text) as { readonly status?: { readonly status: StatusJson } }[];
      return messages.flatMap(({ status }) => (status === undefined ? [] : [status.status]));
    },
  };
}

function refusalFrom({ stderr }: { readonly stderr: string }): Error {
  const [json] = jsonValues(stderr.slice(Math.max(0, stderr.indexOf("{")))) as Record<string, unknown>[];
  if (json === undefined) return new Error(stderr);
  return new Refused(errorFromConnectJson(json));
}

/** JSON values that follow one another, each possibly over many lines. */
function jsonValues(text: string): unknown[] {
  const values: unknown[] = [];
  let depth = 0;
  let start = -1;
  let quoted = false;
  for (let index = 0; index < text.length; index += 1) {
    const character = text[index];
    if (quoted) {
      if (character === "\\") index += 1;
      else if (character === '"') quoted = false;
    } else if (character === '"') quoted = true;
    else if (character === "{") {
      if (depth === 0) start = index;
      depth += 1;
    } else if (character === "}") {
      depth -= 1;
      if (depth === 0) values.push(JSON.parse(text.slice(start, index + 1)));
    }
  }
  return values;
}
