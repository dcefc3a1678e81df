import { TaskwatchError } from "../../../src/client/index.ts";

/** What the promise fails with, which must be a `TaskwatchError`. */
export async function failureOf(promise: Promise<unknown>): Promise<TaskwatchError> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof TaskwatchError) return error;
    throw error;
  }
  throw new Error("nothing failed");
}
