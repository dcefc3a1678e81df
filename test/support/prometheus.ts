import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { eventually } from "./eventually.ts";

/** Something that Prometheus scrapes at `/metrics`. */
export interface ScrapeTarget {
  readonly job: string;
  /** Host and port. */
  readonly address: string;
}

/** One series of an answer, and its points as pairs of time (in seconds) and value. */
export interface RangeSeries {
  readonly metric: Readonly<Record<string, string>>;
  readonly values: readonly (readonly [number, number])[];
}

/** What to evaluate over the last while. */
export interface RangeQuery {
  readonly rangeSeconds: number;
  readonly stepSeconds: number;
}

/** A running Prometheus. */
export interface Prometheus extends AsyncDisposable {
  readonly url: string;
  /** Resolves once every target has been scraped this many times since the start, with success the last time. */
  scraped(times: number): Promise<void>;
  /** Evaluates an expression over the time up to now. Throws, with the words of Prometheus, if it cannot. */
  queryRange(expr: string, range: RangeQuery): Promise<RangeSeries[]>;
}

/** What `startPrometheus` needs. */
export interface PrometheusOptions {
  /** The path of the program. */
  readonly binary: string;
  readonly targets: readonly ScrapeTarget[];
  /** 250 by default: a rate over a few seconds then has enough points. */
  readonly scrapeIntervalMs?: number;
}

/** Starts a Prometheus of its own, with an empty store and on a free port, that scrapes the targets. */
export async function startPrometheus({
  binary,
  targets,
  scrapeIntervalMs = 250,
}: PrometheusOptions): Promise<Prometheus> {
  const folder = await mkdtemp(join(tmpdir(), "taskwatch-prometheus-"));
  const port = await freePort();
  await writeFile(join(folder, "prometheus.yaml"), configuration(targets, scrapeIntervalMs));
  const server = spawn(
    binary,
    [
      `--config.file=${join(folder, "prometheus.yaml")}`,
      `--storage.tsdb.path=${join(folder, "data")}`,
      `--web.listen-address=127.0.0.1:${port}`,
      "--log.level=warn",
    ],
    { stdio: ["ignore", "ignore", "pipe"] },
  );
  const url = `http://127.0.0.1:${port}`;
  const stop = async (): Promise<void> => {
    await stopProcess(server);
    await rm(folder, { recursive: true, force: true });
  };
  try {
    await ready(server, url);
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    url,
    scraped: (times) => scraped(url, { times, targets }),
    queryRange: (expr, range) => queryRange(url, expr, range),
    [Symbol.asyncDispose]: stop,
  };
}

/** The result of running promtool. */
export interface PromtoolResult {
  readonly exitCode: number;
  /** Both streams. */
  readonly output: string;
}

/** Runs promtool, which is at this path, with these arguments and this input. */
export async function runPromtool(binary: string, args: readonly string[], input = ""): Promise<PromtoolResult> {
  const child = spawn(binary, args, { stdio: "pipe", timeout: 30_000 });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text) => (output += text));
  child.stdin.end(input);
  const [exitCode] = (await once(child, "close")) as [number | null];
  return { exitCode: exitCode ?? -1, output };
}

function configuration(targets: readonly ScrapeTarget[], scrapeIntervalMs: number): string {
  return JSON.stringify({
    global: { scrape_interval: `${scrapeIntervalMs}ms`, scrape_timeout: `${scrapeIntervalMs}ms` },
    scrape_configs: [...Map.groupBy(targets, ({ job }) => job)].map(([job, ofJob]) => ({
      job_name: job,
      static_configs: [{ targets: ofJob.map(({ address }) => address) }],
    })),
  });
}

async function ready(server: ChildProcess, url: string): Promise<void> {
  let log = "";
  server.stderr?.setEncoding("utf8").on("data", (text: string) => (log = (log + text).slice(-10_000)));
  const ended = new AbortController();
  server.once("exit", () => ended.abort());
  await eventually(
    "Prometheus to be ready",
    async () => {
      if (ended.signal.aborted) return "ended" as const;
      const response = await fetch(`${url}/-/ready`);
      return response.ok && ("ready" as const);
    },
    { timeoutMs: 20_000 },
  ).then((state) => {
    if (state === "ended") throw new Error(`Prometheus ended at its start:\n${log}`);
  });
}

async function scraped(
  url: string,
  { times, targets }: { readonly times: number; readonly targets: readonly ScrapeTarget[] },
): Promise<void> {
  await eventually(
    `Prometheus to have scraped ${targets.map(({ address }) => address).join(" and ")} ${times} times`,
    async () => {
      const series = await query(url, `count(count_over_time(up[1h]) >= ${times} and up == 1)`);
      return Number(series[0]?.value[1] ?? 0) === targets.length;
    },
    { timeoutMs: 30_000, intervalMs: 100 },
  );
}

interface Answer<Series> {
  readonly status: "success" | "error";
  readonly error?: string;
  readonly data?: { readonly result: readonly Series[] };
}

async function query(url: string, expr: string) {
  return await ask<{ readonly value: readonly [number, string] }>(`${url}/api/v1/query`, { query: expr });
}

async function queryRange(
  url: string,
  expr: string,
  { rangeSeconds, stepSeconds }: RangeQuery,
): Promise<RangeSeries[]> {
  const end = Date.now() / 1000;
  const range = { start: `${end - rangeSeconds}`, end: `${end}`, step: `${stepSeconds}` };
  const series = await ask<{
    readonly metric: Readonly<Record<string, string>>;
    readonly values: readonly (readonly [number, string])[];
  }>(`${url}/api/v1/query_range`, { query: expr, ...range });
  return series.map(({ metric, values }) => ({ metric, values: values.map(([time, value]) => [time, Number(value)]) }));
}

async function ask<Series>(address: string, parameters: Record<string, string>): Promise<readonly Series[]> {
  const response = await fetch(address, { method: "POST", body: new URLSearchParams(parameters) });
  const answer = (await response.json()) as Answer<Series>;
  if (answer.status !== "success") throw new Error(`Prometheus refused ${parameters["query"]}: ${answer.error}`);
  return answer.data?.result ?? [];
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  if (address === null || typeof address === "string") throw new Error("no port was free");
  return address.port;
}

async function stopProcess(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  child.kill("SIGTERM");
  const timer = setTimeout(() => child.kill("SIGKILL"), 5_000);
  await exited;
  clearTimeout(timer);
}
