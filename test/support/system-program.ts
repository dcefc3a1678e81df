import { type TestContext, inject } from "vitest";

import type { SystemProgram, SystemPrograms } from "./system-packages.ts";

declare module "vitest" {
  interface ProvidedContext {
    systemPrograms: SystemPrograms;
  }
}

/** The path of a program that the test speaks to. Where it could not be brought, the test is skipped and says why. */
export function systemProgram(context: TestContext, program: SystemProgram): string {
  const state = inject("systemPrograms")[program];
  return "path" in state ? state.path : context.skip(state.missing);
}
