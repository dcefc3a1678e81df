/** The process of the service: reads its configuration, starts, and turns the first signal into a drain, a second into the end. */
import { constants } from "node:os";

import { type App, startApp } from "./app.ts";
import { type Config, ConfigError, configFromEnvironment } from "./config.ts";
import { createLogger, type Logger } from "./telemetry/logger.ts";
import { version } from "./version.ts";

/**
 * Exit codes: 0 after a drain, 1 when it cannot start or go on, 2 for a bad configuration. A signal that ends it at once, before
 * it has started or while it drains, gives 128 and the number of the signal: 143 for SIGTERM, 130 for SIGINT.
 */
const exitCodes = { ok: 0, failed: 1, usage: 2, signal: 128 } as const;

/**
 * Runs the service until a signal ends it; returns the exit code. Configured by the environment of the process, or by `environment`.
 *
 * A service whose NATS is not there yet, or is silent for 10 s, says so and ends with 1: it is for the orchestrator to start it
 * again. What it had begun may still be open when this returns, so that the caller is to end the process.
 */
export async function main(environment?: Readonly<Record<string, string | undefined>>): Promise<number> {
  let config: Config;
  try {
    config = configFromEnvironment(environment);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    process.stderr.write(`${error.message}\n`);
    return exitCodes.usage;
  }
  const logger = createLogger({ level: config.logLevel, fields: { version } });
  using signals = listenForSignals();
  let app: App | NodeJS.Signals;
  try {
    app = await Promise.race([startApp(config, logger), signals.first]);
  } catch (error) {
    logger.error("service cannot start", { error });
    return exitCodes.failed;
  }
  if (typeof app === "string") {
    logger.warn("service ends before it has started", { signal: app });
    return exitCodeOf(app);
  }
  logger.info("service listens", { ...app.addresses });
  try {
    return await serve(app, signals, logger);
  } catch (error) {
    logger.error("service cannot go on", { error });
    return exitCodes.failed;
  }
}

async function serve(app: App, signals: Signals, logger: Logger): Promise<number> {
  const failed = app.failed.then((error) => Promise.reject(error));
  const outcome = await Promise.race([app.ready, signals.first, failed]);
  if (outcome === undefined) logger.info("service is ready", { ...app.addresses });
  logger.info("service drains", { signal: await Promise.race([signals.first, failed]) });
  const cutShort = await Promise.race([app.drain(), signals.second]);
  if (cutShort !== undefined) {
    // Whoever asks twice means it: nothing that is accepted is lost by it.
    logger.warn("service ends without having drained", { signal: cutShort });
    return exitCodeOf(cutShort);
  }
  logger.info("service has stopped");
  return exitCodes.ok;
}

function exitCodeOf(signal: NodeJS.Signals): number {
  return exitCodes.signal + constants.signals[signal];
}

/** The signals that ask for an end, of whatever kind each is. */
interface Signals extends Disposable {
  readonly first: Promise<NodeJS.Signals>;
  readonly second: Promise<NodeJS.Signals>;
}

function listenForSignals(): Signals {
  const first = Promise.withResolvers<NodeJS.Signals>();
  const second = Promise.withResolvers<NodeJS.Signals>();
  let count = 0;
  const onSignal = (signal: NodeJS.Signals): void => {
    count += 1;
    (count === 1 ? first : second).resolve(signal);
  };
  const kinds = ["SIGTERM", "SIGINT"] as const;
  for (const kind of kinds) process.on(kind, onSignal);
  return {
    first: first.promise,
    second: second.promise,
    [Symbol.dispose]: () => {
      for (const kind of kinds) process.off(kind, onSignal);
    },
  };
}

if (import.meta.main) {
  const code = await main();
  // Ends it whatever is still open, once all that was written is out.
  process.stderr.write("", () => process.exit(code));
}
