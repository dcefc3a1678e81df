import type { TaskStatus } from "../../client/status/task-status.ts";
import type { WatchEvent } from "../../client/watch/watch-event.ts";

/** An event as the API writes it in JSON; undefined for what the API does not know. */
export function eventToJson(event: WatchEvent, statusToJson: (status: TaskStatus) => object): object | undefined {
  switch (event.kind) {
    case "status": {
      const { status, snapshot, merged, resumeToken } = event;
      const details = { status: statusToJson(status), ...(snapshot && { snapshot }), ...(merged > 0 && { merged }) };
      return { resumeToken, status: details };
    }
    case "removed": {
      const { taskId, reason, resumeToken } = event;
      return { resumeToken, removed: { taskId, reason: `REASON_${reason}` } };
    }
    default:
      return undefined;
  }
}
