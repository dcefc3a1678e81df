import { mkdtempDisposable, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { ServerCredentials } from "@grpc/grpc-js";
import { expect, it } from "vitest";

import { createTaskwatchClient } from "../../../src/client/index.ts";
import { createCertificate } from "../../support/certificate.ts";
import { failureOf } from "./failure-of.ts";
import { startScriptedService } from "./scripted-service.ts";

it("speaks TLS to a service whose certificate it trusts, and to no other", async () => {
  const { cert, key } = createCertificate();
  const pair = { cert_chain: Buffer.from(cert), private_key: Buffer.from(key) };
  const credentials = ServerCredentials.createSsl(null, [pair]);
  await using service = await startScriptedService({ getStatus: () => ({ status: { taskId: "q_1" } }) }, credentials);
  // The name that TLS asks for must not be an address.
  const address = service.address.replace("127.0.0.1", "localhost");
  await using folder = await mkdtempDisposable(join(tmpdir(), "taskwatch-"));
  const caFile = join(folder.path, "ca.pem");
  await writeFile(caFile, cert);

  await using trusting = createTaskwatchClient({ address, tls: { caFile } });
  expect((await trusting.get("q_1")).taskId).toBe("q_1");
  await using usual = createTaskwatchClient({ address, tls: true, retryBudgetMs: 0 });
  expect(await failureOf(usual.get("q_1"))).toMatchObject({ code: "UNAVAILABLE", reason: undefined });
  await using plain = createTaskwatchClient({ address: service.address, retryBudgetMs: 0, timeoutMs: 2_000 });
  expect(await failureOf(plain.get("q_1"))).toMatchObject({ reason: undefined });
});
