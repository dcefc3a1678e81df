import type { TaskStatus } from "../../client/status/task-status.ts";
import type { Connection } from "../session.ts";

/**
 * Reads tasks before they are watched, so that a wrong id, or a service that is not there, is said at once. Throws for the first
 * one that is not found.
 */
export async function requireTasks(
  { client }: Connection,
  taskIds: readonly string[],
  signal: AbortSignal,
): Promise<readonly TaskStatus[]> {
  const [only, ...others] = taskIds;
  // By itself it is answered with more about what is wrong with it.
  if (only !== undefined && others.length === 0) return [await client.get(only, { signal })];
  const results = await client.getMany(taskIds, { signal });
  return results.map(({ status, error }) => {
    if (status === undefined) throw error;
    return status;
  });
}
