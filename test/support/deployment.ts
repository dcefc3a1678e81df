import { create, type MessageInitShape } from "@bufbuild/protobuf";

import { SubmitTaskRequestSchema } from "../../src/gen/taskwatch/v1/task_service_pb.ts";
import { connectNats, type Nats, type NatsOptions } from "../../src/nats/connection.ts";
import { createJobs, type Jobs } from "../../src/nats/jobs.ts";
import { createStatusRecords, type StatusRecords } from "../../src/nats/records.ts";
import { openStore, type Store, type StoreOptions } from "../../src/nats/store.ts";
import { claim } from "../../src/task/lifecycle.ts";
import { type Submission, submissionFromRequest } from "../../src/task/submission.ts";
import { type Task, taskFromFresh } from "../../src/task/task.ts";
import { newToken } from "../../src/task/write-token.ts";

/** A deployment on a nats-server of a test, with what tests do to it. */
export interface Deployment extends AsyncDisposable {
  readonly nats: Nats;
  readonly store: Store;
  readonly jobs: Jobs;
  readonly records: StatusRecords;
  /** A task that is ready to be submitted: of namespace `ns`, queue `q` and type `t` unless the request says otherwise. */
  submission(request?: MessageInitShape<typeof SubmitTaskRequestSchema>): Submission;
  /** Submits a task, and returns what was submitted. */
  submit(request?: MessageInitShape<typeof SubmitTaskRequestSchema>): Promise<Submission>;
  /** Starts the first attempt of a submitted task, as a worker would. */
  claim(submission: Submission): Promise<Task>;
}

/** Opens the deployment at `url`, queue `q` made. */
export async function openDeployment(
  url: string,
  options: { readonly store?: StoreOptions; readonly nats?: Partial<NatsOptions> } = {},
): Promise<Deployment> {
  const nats = await connectNats({ url, name: "test", ...options.nats });
  const store = await openStore(nats, options.store);
  const { leaseMs } = await store.queue("q");
  const jobs = createJobs(nats);
  const records = createStatusRecords(nats);
  const submission = (request: MessageInitShape<typeof SubmitTaskRequestSchema> = {}) =>
    submissionFromRequest(create(SubmitTaskRequestSchema, { queue: "q", type: "t", ...request }), {
      ids: store.ids,
      namespace: "ns",
      nowMs: Date.now(),
      settings: undefined,
    });
  return {
    nats,
    store,
    jobs,
    records,
    submission,
    async submit(request) {
      const made = submission(request);
      await store.queue(made.task.key.queue);
      await jobs.submit(made);
      return made;
    },
    async claim({ task, job }) {
      const attempt = { worker: "w", attemptToken: newToken(), jobSequence: 1, jobDelivery: 1 };
      return records.write(claim(taskFromFresh(task, job), { ...attempt, leaseMs, nowMs: Date.now() }), newToken());
    },
    [Symbol.asyncDispose]: () => nats[Symbol.asyncDispose](),
  };
}
