import type { TaskKey } from "../task/task-id.ts";
import type { Nats } from "./connection.ts";
import { controlSubjects, parseControlSubject } from "./names.ts";

/**
 * Listens for hints to look at the records of a queue's tasks, until the returned function is called. A hint may get lost, may
 * come twice, and says nothing but that there may be something to see.
 */
export function followHints(nats: Nats, queue: string, onHint: (key: TaskKey) => void): () => void {
  const subscription = nats.connection.subscribe(controlSubjects(queue), {
    callback: (error, message) => {
      const key = error === null ? parseControlSubject(message.subject) : undefined;
      if (key !== undefined) onHint(key);
    },
  });
  return () => subscription.unsubscribe();
}
