/** What {@link welcome} tells of. */
export interface WelcomeOptions {
  readonly environment: {
    readonly TASKWATCH_GRPC_ADDRESS: string;
    readonly TASKWATCH_HTTP_ADDRESS: string;
    readonly TASKWATCH_ADMIN_ADDRESS: string;
    readonly TASKWATCH_NATS_URL: string;
  };
  readonly workerAdminAddress: string;
  readonly tookMs: number;
}

/** What `npm start` prints when everything runs: where to look, and what to type. */
export function welcome({ environment, workerAdminAddress, tookMs }: WelcomeOptions): string {
  const http = `http://${environment.TASKWATCH_HTTP_ADDRESS}`;
  const seconds = (tookMs / 1000).toFixed(1);
  return `
Taskwatch is up, after ${seconds} s. Ctrl-C stops it; tasks survive that, in .taskwatch/.

  gRPC                     ${environment.TASKWATCH_GRPC_ADDRESS}  (with reflection and health)
  Connect, gRPC-Web, JSON  ${http}
  Metrics and health       http://${environment.TASKWATCH_ADMIN_ADDRESS}/metrics, the worker's http://${workerAdminAddress}/metrics
  NATS                     ${environment.TASKWATCH_NATS_URL}
  Logs                     .taskwatch/service.log, .taskwatch/demo-worker.log

The demo worker serves the queue "demo": checksum and wordcount {"path": …}, flaky, sleep {"ms": …}.
In another terminal, submit a task and watch it to its end:

  npx taskwatch submit checksum '{"path": "proto"}' --queue demo --watch

or with nothing but curl:

  curl -s ${http}/taskwatch.v1.TaskService/SubmitTask \\
    -H 'content-type: application/json' \\
    -d '{"queue": "demo", "type": "checksum", "payload": {"json": {"path": "README.md"}}}'
`;
}
