import { isTerminal, type TaskStatus } from "../../client/status/task-status.ts";
import { TaskwatchError } from "../../client/taskwatch-error.ts";
import type { Interruption, WatchEvent } from "../../client/watch/watch-event.ts";
import { Interrupted } from "../cli-errors.ts";
import { formatDuration } from "../duration.ts";
import { exitCodes, type ExitCode } from "../exit-codes.ts";
import type { TextOutput } from "../io.ts";
import { eventToJson } from "../screen/event-json.ts";
import { LiveScreen } from "../screen/live-screen.ts";
import { styleOf } from "../screen/style.ts";
import { taskFrame } from "../screen/task-frame.ts";
import { taskLine } from "../screen/task-line.ts";
import type { Connection, Session } from "../session.ts";

/** What to follow, and what to write of it. */
export interface FollowOptions {
  readonly taskIds: readonly string[];
  /** `events`: each change. `end`: only the last status of each task. */
  readonly show: "events" | "end";
  /** How long the end is waited for, in ms. */
  readonly timeoutMs?: number | undefined;
}

/**
 * Follows tasks to their end, live on a terminal, and returns how it ended: ok if all SUCCEEDED. Throws DEADLINE_EXCEEDED when
 * the time is over, and what the user interrupted it with.
 */
export async function follow(session: Session, connection: Connection, options: FollowOptions): Promise<ExitCode> {
  const { io } = session;
  const timeout = new AbortController();
  const timer =
    options.timeoutMs === undefined
      ? undefined
      : setTimeout(() => timeout.abort(timedOut(options.timeoutMs ?? 0)), options.timeoutMs);
  try {
    using follower = new Follower(session, connection, options);
    const watch = connection.client.watch(options.taskIds, {
      signal: AbortSignal.any([io.interrupted, timeout.signal]),
      onInterrupted: (interruption) => follower.onInterrupted(interruption),
    });
    for await (const event of watch) follower.onEvent(event);
    return follower.finish();
  } catch (error) {
    if (!io.interrupted.aborted) throw error;
    throw new Interrupted(`what was submitted goes on: taskwatch watch ${options.taskIds.join(" ")}`);
  } finally {
    clearTimeout(timer);
  }
}

class Follower implements Disposable {
  readonly #session: Session;
  readonly #connection: Connection;
  readonly #show: FollowOptions["show"];
  readonly #taskIds: readonly string[];
  readonly #statuses = new Map<string, TaskStatus>();
  readonly #gone = new Set<string>();
  readonly #screen: LiveScreen | undefined;
  readonly #screenIsOutput: boolean;
  #notice: string | undefined;

  constructor(session: Session, connection: Connection, { show, taskIds }: FollowOptions) {
    this.#session = session;
    this.#connection = connection;
    this.#show = show;
    this.#taskIds = taskIds;
    const output = screenOutput(session, show);
    this.#screenIsOutput = output === session.io.out;
    const style = output && styleOf(output, session.io);
    this.#screen =
      output &&
      new LiveScreen(output, ({ columns, rows }) => {
        const content = { statuses: this.#inOrder(), notice: this.#notice };
        return taskFrame(content, { columns, rows, nowMs: Date.now(), ...(style && { style }) });
      });
  }

  onEvent(event: WatchEvent): void {
    this.#notice = undefined;
    switch (event.kind) {
      case "status":
        this.#statuses.set(event.status.taskId, event.status);
        break;
      case "removed":
        this.#gone.add(event.taskId);
        this.#say(`${event.taskId} is gone (${event.reason.toLowerCase()})`);
        break;
      case "reset":
        this.#statuses.clear();
        this.#say(`what was known is void: ${event.error.message}`);
        break;
      default:
    }
    if (this.#show === "events" && !this.#screenIsOutput) this.#write(event);
  }

  onInterrupted({ error, delayMs }: Interruption): void {
    const why = error === undefined ? "the service ended the watch" : error.message;
    const text = `${why}; continues in ${formatDuration(delayMs)}`;
    if (this.#screen === undefined) this.#say(text);
    else this.#notice = text;
  }

  /** Writes what is only known at the end. */
  finish(): ExitCode {
    this[Symbol.dispose]();
    const statuses = this.#inOrder();
    if (this.#show === "end" && !this.#screenIsOutput) for (const status of statuses) this.#writeStatus(status);
    if (statuses.some(({ state }) => isTerminal(state) && state !== "SUCCEEDED")) return exitCodes.taskEndedOtherwise;
    return this.#gone.size > 0 ? exitCodes.notFound : exitCodes.ok;
  }

  [Symbol.dispose](): void {
    this.#notice = undefined;
    this.#screen?.[Symbol.dispose]();
  }

  #inOrder(): TaskStatus[] {
    return this.#taskIds.flatMap((taskId) => this.#statuses.get(taskId) ?? []);
  }

  #write(event: WatchEvent): void {
    const { io, options } = this.#session;
    const json = eventToJson(event, this.#connection.statusToJson);
    if (options.format === "table" && event.kind === "status") this.#writeStatus(event.status);
    else if (options.format === "json" && json !== undefined) io.out.write(`${JSON.stringify(json)}\n`);
  }

  #writeStatus(status: TaskStatus): void {
    const { io, options } = this.#session;
    const line =
      options.format === "json"
        ? JSON.stringify(this.#connection.statusToJson(status))
        : taskLine(status, { columns: 1_000, nowMs: Date.now() });
    io.out.write(`${line}\n`);
  }

  #say(text: string): void {
    const line = `${text}\n`;
    if (this.#screen === undefined) this.#session.io.err.write(line);
    else this.#screen.print(line);
  }
}

/** Where to show it live: on the terminal that the data goes to, or, when only the end is data, on the other one. */
function screenOutput({ io, options }: Session, show: FollowOptions["show"]): TextOutput | undefined {
  if (io.out.isTerminal && options.format === "table") return io.out;
  if (!io.out.isTerminal && show === "end" && io.err.isTerminal) return io.err;
  return undefined;
}

function timedOut(timeoutMs: number): TaskwatchError {
  const message = `not ended within ${formatDuration(timeoutMs)}`;
  return new TaskwatchError("DEADLINE_EXCEEDED", message, { reason: "WAIT_TIMEOUT" });
}
