import type { TestProject } from "vitest/node";

import { findNatsServer } from "../src/dev/nats-server-binary.ts";
import { bringSystemPrograms } from "./support/system-packages.ts";
import "./support/system-program.ts";

/** Brings what the tests of a project need beside the packages, once, before any of them runs. */
export default async function setup(project: TestProject): Promise<void> {
  const { path, version } = await findNatsServer();
  // For the workers and what they start, so that the search is done once.
  process.env["NATS_SERVER_PATH"] = path;

  const programs = await bringSystemPrograms();
  project.provide("systemPrograms", programs);

  const missing = Object.values(programs).flatMap((state) => ("missing" in state ? [`  ${state.missing}`] : []));
  console.log([`${project.name}: nats-server ${version} (${path})`, ...missing].join("\n"));
}
