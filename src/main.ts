/** The process of the service: reads its configuration, starts, and turns the first signal into a drain, a second into the end. */
import { type App, startApp } from "./app.ts";
import { type Config, ConfigError, configFromEnvironment } from "./config.ts";
import { createLogger } from "./telemetry/logger.ts";
import { version } from "./version.ts";

/** Exit codes: 0 after a drain, 1 when it cannot start or go on, 2 for a bad configuration. */
const exitCodes = { ok: 0, failed: 1, usage: 2 } as const;

/** Runs the service until a signal ends it; returns the exit code. Configured by the environment of the process, or by `environment`. */
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
  const interrupted = Promise.withResolvers<NodeJS.Signals>();
  const onSignal = (signal: NodeJS.Signals): void => {
    // Whoever asks twice means it: nothing that is accepted is lost by it.
    process.once(signal, () => process.exit(exitCodes.failed));
    interrupted.resolve(signal);
  };
  process.once("SIGTERM", onSignal);
  process.once("SIGINT", onSignal);

  let app: App;
  try {
    app = await startApp(config, logger);
  } catch (error) {
    logger.error("service cannot start", { error });
    return exitCodes.failed;
  }
  logger.info("service listens", { ...app.addresses });
  const outcome = await Promise.race([app.ready, interrupted.promise]);
  if (outcome === undefined) logger.info("service is ready", { ...app.addresses });
  logger.info("service drains", { signal: await interrupted.promise });
  await app.drain();
  logger.info("service has stopped");
  return exitCodes.ok;
}

if (import.meta.main) process.exitCode = await main();
