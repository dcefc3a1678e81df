#!/usr/bin/env node
import { processIo } from "./io.ts";
import { runCommandLine } from "./run-command-line.ts";

process.exitCode = await runCommandLine(process.argv.slice(2), processIo());
// What somebody's handlers left open must not keep a process that is done.
setTimeout(() => process.exit(), 1_000).unref();
