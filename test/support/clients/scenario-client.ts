/** A status as every client can tell it: proto3 JSON. */
export interface StatusJson {
  readonly taskId: string;
  readonly state: string;
  readonly attempt?: number;
  readonly result?: unknown;
  readonly labels?: Readonly<Record<string, string>>;
  readonly progress?: { readonly done?: number; readonly total?: number };
  readonly cancellation?: { readonly reason?: string };
}

/** An error as every client can tell it. */
export interface ErrorJson {
  /** The number of the gRPC status code. */
  readonly code: number;
  /** The reason of its ErrorInfo. */
  readonly reason: string;
  /** The fields that its BadRequest names. */
  readonly fields: readonly string[];
}

/** A call was refused by the service. */
export class Refused extends Error {
  override readonly name = "Refused";
  readonly error: ErrorJson;

  constructor(error: ErrorJson) {
    super(`${error.code} ${error.reason}`);
    this.error = error;
  }
}

/** What the scenario needs of a client, whatever it is written in and whatever protocol it speaks. */
export interface ScenarioClient {
  /** Makes a unary call of TaskService with a request as proto3 JSON. Throws `Refused`. */
  call(method: string, request: object): Promise<Readonly<Record<string, unknown>>>;
  /** Watches one task to the end of the stream; every status in order. */
  watch(taskId: string): Promise<StatusJson[]>;
}
