import type { DescMethod, DescService } from "@bufbuild/protobuf";

import { QueueService } from "../gen/taskwatch/v1/queue_service_pb.ts";
import { TaskService } from "../gen/taskwatch/v1/task_service_pb.ts";

/** What a principal may do. */
export const roles = ["submit", "read", "operate", "worker"] as const;
/** What a principal may do. */
export type Role = (typeof roles)[number];

/** Which roles open each method: any one of them does. */
export const rolesOfMethod = {
  TaskService: {
    submitTask: ["submit"],
    submitTasks: ["submit"],
    getStatus: ["read"],
    batchGetStatus: ["read"],
    watchStatus: ["read"],
    waitTask: ["read"],
    listTasks: ["read"],
    cancelTask: ["submit", "operate"],
    retryTask: ["submit"],
    deleteTask: ["operate"],
  },
  QueueService: {
    listQueues: ["read"],
    getQueue: ["read"],
    pauseQueue: ["operate"],
    resumeQueue: ["operate"],
    updateQueue: ["operate"],
    listWorkers: ["read"],
  },
} as const satisfies {
  TaskService: Record<keyof typeof TaskService.method, readonly Role[]>;
  QueueService: Record<keyof typeof QueueService.method, readonly Role[]>;
};

/** A method of the API and what holds for it on every transport. */
export interface Method {
  readonly desc: DescMethod;
  /** The full name of its service. */
  readonly service: string;
  readonly name: string;
  /** `/<service>/<name>`. */
  readonly path: string;
  readonly roles: readonly Role[];
  /** Whether it answers with a stream that lives until something ends it. */
  readonly streaming: boolean;
  /** How long a call may take, its sending included; for a stream, until it is open. */
  readonly timeBoundMs: number;
}

const timeBoundMs = 30_000;
/** A wait may be asked to last 60 s, and then needs a moment to say so. */
const waitBoundMs = 65_000;

/** The services of the API. */
export const services = [TaskService, QueueService] as const;

/** All methods of the API. */
export const methods: readonly Method[] = [
  ...methodsOf(TaskService, rolesOfMethod.TaskService),
  ...methodsOf(QueueService, rolesOfMethod.QueueService),
];

const methodsByPath = new Map(methods.map((method) => [method.path, method]));

/** The method that a path names. */
export function methodOfPath(path: string): Method | undefined {
  return methodsByPath.get(path);
}

function methodsOf(service: DescService, rolesByName: Readonly<Record<string, readonly Role[]>>): Method[] {
  return service.methods.map((desc) => ({
    desc,
    service: service.typeName,
    name: desc.name,
    path: `/${service.typeName}/${desc.name}`,
    roles: rolesByName[desc.localName] ?? [],
    streaming: desc.methodKind === "server_streaming",
    timeBoundMs: timeBoundOf(desc),
  }));
}

function timeBoundOf(desc: DescMethod): number {
  return desc === TaskService.method.waitTask ? waitBoundMs : timeBoundMs;
}
