/**
 * The grammar of everything that has a name on NATS. No other folder knows one.
 *
 *     JOBS_<queue>                            the stream of a queue
 *     job.<queue>.<priority>.<ns>.<suffix>    a task that waits for a worker
 *     delay.<queue>.<priority>.<ns>.<suffix>  a task that waits for a time: a scheduled message whose target is the above
 *     dead.<queue>.<priority>.<ns>.<suffix>   the job of a failed task, kept so that it can be run again
 *     tev.<one of those>                      what the server publishes when it has stored one of those
 *     KV_TASKWATCH                            the status bucket; key <queue>.<ns>.<suffix>
 *     KV_TASKWATCH_META                       epoch, id secret, queue settings, worker presence
 *     ctl.<queue>.<ns>.<suffix>               a hint to the worker of a task: look at the record
 */
import { Priority } from "../gen/taskwatch/v1/task_pb.ts";
import type { TaskKey } from "../task/task-id.ts";

/** The stream of the status bucket. */
export const statusStream = "KV_TASKWATCH";
/** Every key of the status bucket. */
export const statusSubjects = "$KV.TASKWATCH.>";
/** The stream of the meta bucket. */
export const metaStream = "KV_TASKWATCH_META";
/** Every key of the meta bucket. */
export const metaSubjects = "$KV.TASKWATCH_META.>";
/** What the server publishes of every job of every queue. */
export const jobEventSubjects = "tev.>";

const jobStreamPrefix = "JOBS_";

/** The three kinds of message on the stream of a queue. */
export type JobKind = "job" | "delay" | "dead";

/** The priorities, most urgent first. */
export const priorities = ["high", "normal", "low"] as const;
/** One of the priorities, as it stands in subjects and consumer names. */
export type PriorityName = (typeof priorities)[number];

/** The stream of a queue. */
export function jobStream(queue: string): string {
  return jobStreamPrefix + queue;
}

/** The queue of a stream; undefined for a stream that is none of ours. */
export function queueFromJobStream(stream: string): string | undefined {
  return stream.startsWith(jobStreamPrefix) ? stream.slice(jobStreamPrefix.length) : undefined;
}

/** The subjects that the stream of a queue stores. */
export function jobSubjects(queue: string): string[] {
  return [`job.${queue}.>`, `delay.${queue}.>`, `dead.${queue}.>`];
}

/** The subject of a task's message. */
export function jobSubject(kind: JobKind, key: TaskKey, priority: Priority): string {
  return `${kind}.${key.queue}.${priorityName(priority)}.${key.namespace}.${key.suffix}`;
}

/** The subject of a task's message, whatever its priority; of whatever kind, for kind "*". */
export function anyJobSubject(kind: JobKind | "*", key: TaskKey): string {
  return `${kind}.${key.queue}.*.${key.namespace}.${key.suffix}`;
}

/** What one consumer of a queue takes. */
export function consumerSubjects(queue: string, priority: PriorityName): string {
  return `job.${queue}.${priority}.>`;
}

/** A job subject taken apart; undefined if it is none. A leading `tev.` is allowed. */
export function parseJobSubject(
  subject: string,
): { readonly kind: JobKind; readonly key: TaskKey; readonly priority: Priority } | undefined {
  const tokens = subject.split(".");
  if (tokens[0] === "tev") tokens.shift();
  const [kind, queue, priority, namespace, suffix] = tokens;
  if (tokens.length !== 5 || suffix === undefined || namespace === undefined || queue === undefined) return undefined;
  if (kind !== "job" && kind !== "delay" && kind !== "dead") return undefined;
  return { kind, key: { namespace, queue, suffix }, priority: priorityFromName(priority) };
}

/** The subject of a task's record. */
export function statusSubject(key: TaskKey): string {
  return `$KV.TASKWATCH.${key.queue}.${key.namespace}.${key.suffix}`;
}

/** The task of a record's subject; undefined if it is none. */
export function parseStatusSubject(subject: string): TaskKey | undefined {
  const [, , queue, namespace, suffix, ...rest] = subject.split(".");
  if (queue === undefined || namespace === undefined || suffix === undefined || rest.length > 0) return undefined;
  return { queue, namespace, suffix };
}

/** The subject of a key of the meta bucket. */
export function metaSubject(key: string): string {
  return `$KV.TASKWATCH_META.${key}`;
}

/** Where the worker of a task listens for hints. */
export function controlSubject(key: TaskKey): string {
  return `ctl.${key.queue}.${key.namespace}.${key.suffix}`;
}

/** All hints for the tasks of a queue. */
export function controlSubjects(queue: string): string {
  return `ctl.${queue}.>`;
}

/** The task of a hint. */
export function parseControlSubject(subject: string): TaskKey | undefined {
  const [, queue, namespace, suffix] = subject.split(".");
  if (queue === undefined || namespace === undefined || suffix === undefined) return undefined;
  return { queue, namespace, suffix };
}

/** A priority as it stands in subjects. */
export function priorityName(priority: Priority): PriorityName {
  switch (priority) {
    case Priority.HIGH:
      return "high";
    case Priority.LOW:
      return "low";
    default:
      return "normal";
  }
}

function priorityFromName(name: string | undefined): Priority {
  switch (name) {
    case "high":
      return Priority.HIGH;
    case "low":
      return Priority.LOW;
    default:
      return Priority.NORMAL;
  }
}
