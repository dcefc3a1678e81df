import { type ProjectProcess, startProjectProcess } from "./child-process.ts";

/** The service, running as a process of its own. */
export interface Service extends AsyncDisposable {
  readonly process: ProjectProcess;
  /** `host:port`, for gRPC. */
  readonly grpcAddress: string;
  /** For Connect, gRPC-Web and JSON, without a slash at the end. */
  readonly httpUrl: string;
  /** For metrics and health, without a slash at the end. */
  readonly adminUrl: string;
}

/** Starts the service on ports that the system picks, or on those of `like`, and waits until it is ready. */
export async function startService(
  natsUrl: string,
  options: { readonly environment?: Readonly<Record<string, string>>; readonly like?: Service } = {},
): Promise<Service> {
  const { environment = {}, like } = options;
  const child = startProjectProcess({
    file: "src/main.ts",
    environment: {
      TASKWATCH_NATS_URL: natsUrl,
      TASKWATCH_GRPC_ADDRESS: like?.grpcAddress ?? "127.0.0.1:0",
      TASKWATCH_HTTP_ADDRESS: like === undefined ? "127.0.0.1:0" : new URL(like.httpUrl).host,
      TASKWATCH_ADMIN_ADDRESS: like === undefined ? "127.0.0.1:0" : new URL(like.adminUrl).host,
      ...environment,
    },
  });
  try {
    const listening = await child.line("service is ready");
    return {
      process: child,
      grpcAddress: String(listening["grpc"]),
      httpUrl: `http://${String(listening["http"])}`,
      adminUrl: `http://${String(listening["admin"])}`,
      [Symbol.asyncDispose]: () => child[Symbol.asyncDispose](),
    };
  } catch (error) {
    await child[Symbol.asyncDispose]();
    throw error;
  }
}

/** Starts a worker process with the handlers of a module, and waits until it serves. */
export async function startWorkerProcess(
  natsUrl: string,
  options: {
    /** Below the project's folder. */
    readonly handlers: string;
    readonly queue: string;
    readonly slots?: number;
    readonly environment?: Readonly<Record<string, string>>;
  },
): Promise<ProjectProcess> {
  const { handlers, queue, slots = 10, environment = {} } = options;
  const child = startProjectProcess({
    file: "src/cli/main.ts",
    arguments: ["worker", "--nats", natsUrl, "--queue", queue, "--handlers", handlers, "--slots", String(slots)],
    environment,
  });
  await child.line("worker is ready");
  return child;
}
