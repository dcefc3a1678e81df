import { expect, test } from "vitest";

import { ackMeta } from "../../../src/nats/job-delivery.ts";

test.each([
  ["as servers write it", "$JS.ACK.JOBS_q.normal.3.17.9.1795348246023495784.5"],
  ["with domain, account and a token", "$JS.ACK._.ACCHASH.JOBS_q.normal.3.17.9.1795348246023495784.5.token"],
])("the reply subject of a delivery is read, %s", (_form, reply) => {
  expect(ackMeta(reply)).toEqual({ consumer: "normal", jobDelivery: 3, jobSequence: 17, pending: 5 });
});

test.each(["", "_INBOX.a.b", "$JS.ACK.JOBS_q.normal.3", "$JS.ACK.JOBS_q.normal.x.17.9.1.5", "$JS.API.a.b.3.17.9.1.5"])(
  "what is no such subject is none: %j",
  (reply) => {
    expect(ackMeta(reply)).toBeUndefined();
  },
);
