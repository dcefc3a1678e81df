import { durationMs } from "@bufbuild/protobuf/wkt";

import type { WatchStatusRequest, WatchStatusResponse } from "../../gen/taskwatch/v1/task_service_pb.ts";
import type { Clock } from "../clock.ts";
import { TaskwatchError, toTaskwatchError } from "../taskwatch-error.ts";
import type { Transport, WatchStream } from "../transport.ts";

/** How one stream of a watch ended. */
export interface EpisodeEnd {
  /** Undefined for OK. */
  readonly error: TaskwatchError | undefined;
  /** The delay of a going-away message, if the stream ended after one. */
  readonly resumeDelayMs: number | undefined;
  /** How long messages came; undefined if none did. */
  readonly livedMs: number | undefined;
}

/** What an episode is made of. */
export interface EpisodeOptions {
  readonly transport: Pick<Transport, "watchStatus">;
  readonly request: WatchStatusRequest;
  readonly clock: Clock;
  readonly onMessage: (message: WatchStatusResponse) => void;
  /** Called once, unless it is cancelled or released before. */
  readonly onEnd: (end: EpisodeEnd) => void;
}

/** Bookmarks come every 10 s. */
const silenceMs = 35_000;
/** How long the end of a stream is waited for once it was announced. */
const announcedEndMs = 1_000;

/** One stream of a watch, up to its end or to 35 s in which nothing is heard of it. */
export class WatchEpisode {
  readonly #options: EpisodeOptions;
  #stream: WatchStream | undefined;
  #firstMessageMs: number | undefined;
  #lastHeardMs: number;
  #resumeDelayMs: number | undefined;
  #paused = false;
  #ended = false;
  #cancelTimer: () => void = () => {};

  constructor(options: EpisodeOptions) {
    this.#options = options;
    this.#lastHeardMs = options.clock.nowMs();
  }

  start(): void {
    const { transport, request } = this.#options;
    this.#listenUntil(silenceMs);
    try {
      this.#stream = transport.watchStatus(request, {
        onMessage: (message) => this.#onMessage(message),
        onEnd: (error) => this.#end(error),
      });
    } catch (error) {
      this.#end(toTaskwatchError(error));
    }
  }

  /** Stops messages from coming; as long as it lasts, silence means nothing. */
  pause(): void {
    if (this.#paused || this.#ended) return;
    this.#paused = true;
    this.#stream?.pause();
  }

  resume(): void {
    if (!this.#paused || this.#ended) return;
    this.#paused = false;
    this.#lastHeardMs = this.#options.clock.nowMs();
    this.#stream?.resume();
  }

  /** Ends it now. */
  cancel(): void {
    this.#close();
    this.#stream?.cancel();
  }

  /** Lets the server end it, which it is about to do. */
  release(): void {
    this.#close();
    this.#stream?.release();
  }

  #close(): void {
    this.#ended = true;
    this.#cancelTimer();
  }

  #onMessage(message: WatchStatusResponse): void {
    if (this.#ended) return;
    const { clock, onMessage } = this.#options;
    this.#lastHeardMs = clock.nowMs();
    this.#firstMessageMs ??= this.#lastHeardMs;
    if (message.event.case === "goingAway") {
      const { resumeDelay } = message.event.value;
      this.#resumeDelayMs = resumeDelay === undefined ? 0 : durationMs(resumeDelay);
      this.#cancelTimer();
      this.#listenUntil(announcedEndMs);
    }
    onMessage(message);
  }

  #end(error: TaskwatchError | undefined): void {
    if (this.#ended) return;
    this.#close();
    const livedMs = this.#firstMessageMs === undefined ? undefined : this.#lastHeardMs - this.#firstMessageMs;
    this.#options.onEnd({ error, resumeDelayMs: this.#resumeDelayMs, livedMs });
  }

  /** One timer looks back now and then, which costs less than one that every message sets anew. */
  #listenUntil(patienceMs: number): void {
    const { clock } = this.#options;
    const check = (): void => {
      const leftMs = this.#paused ? patienceMs : this.#lastHeardMs + patienceMs - clock.nowMs();
      if (leftMs > 0) {
        this.#cancelTimer = clock.after(leftMs, check);
        return;
      }
      this.#stream?.cancel();
      this.#end(new TaskwatchError("UNAVAILABLE", `nothing was heard of the service for ${patienceMs / 1_000} s`));
    };
    this.#cancelTimer = clock.after(patienceMs, check);
  }
}
