import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join, normalize } from "node:path";
import { promisify } from "node:util";

import { describe, expect, test } from "vitest";

import { configFromEnvironment } from "../../src/config.ts";
import { findNatsServer } from "../../src/dev/nats-server-binary.ts";
import { parseApiKeys } from "../../src/rpc/access/api-keys.ts";
import { type ComposeService, deployFolder, readCompose, readYaml } from "../support/compose.ts";
import { readDashboards } from "../support/dashboards.ts";
import { runPromtool } from "../support/prometheus.ts";
import { systemProgram } from "../support/system-program.ts";

const run = promisify(execFile);
const root = join(deployFolder, "..");
const compose = readCompose();
const services = Object.entries(compose.services).map(([name, service]) => ({ name, service }));
const ours = services.filter(({ service }) => service.build !== undefined);
const foreign = services.filter(({ service }) => service.image !== undefined);

test("the linter has nothing to say about the compose file", async () => {
  const config = join(deployFolder, ".dclintrc.yaml");
  const args = [join(deployFolder, "compose.yaml"), "--config", config, "--max-warnings", "0", "--color", "false"];
  await expect(run(join(root, "node_modules/.bin/dclint"), args)).resolves.toMatchObject({ stderr: "" });
});

test("the whole consists of the service in both roles, NATS, Prometheus and Grafana", () => {
  expect(ours.map(({ name }) => name)).toEqual(["api", "worker"]);
  expect(foreign.map(({ name }) => name)).toEqual(["nats", "prometheus", "grafana"]);
});

describe.each(services)("$name", ({ service }) => {
  test("is reachable from this machine only", () => {
    expect((service.ports ?? []).filter((port) => !port.startsWith("127.0.0.1:"))).toEqual([]);
  });

  test("has a health check, and waits for healthy services only", () => {
    expect(service.healthcheck?.test[0]).toBe("CMD");
    for (const [name, { condition }] of Object.entries(service.depends_on ?? {})) {
      expect(condition).toBe("service_healthy");
      expect(compose.services[name]?.healthcheck).toBeDefined();
    }
  });

  test("mounts files that exist, and named volumes that are declared", () => {
    const sources = (service.volumes ?? []).map((volume) => volume.split(":")[0] ?? "");
    const paths = sources.filter((source) => source.startsWith("."));
    const names = sources.filter((source) => !source.startsWith("."));
    expect(paths.filter((path) => !existsSync(join(deployFolder, path)))).toEqual([]);
    expect(Object.keys(compose.volumes)).toEqual(expect.arrayContaining(names));
  });

  test("mounts nothing of the repository writable", () => {
    const writable = (service.volumes ?? []).filter((volume) => volume.startsWith(".") && !volume.endsWith(":ro"));
    expect(writable).toEqual([]);
  });

  test("is on networks that are declared", () => {
    expect(service.networks?.length).toBeGreaterThan(0);
    expect(Object.keys(compose.networks)).toEqual(expect.arrayContaining([...(service.networks ?? [])]));
  });
});

test.each(foreign)("the image of $name is pinned to one version", ({ service }) => {
  expect(service.image).toMatch(/^[\w./-]+:v?\d+\.\d+\.\d+(-[\w.]+)?$/);
});

describe.each(ours)("our $name", ({ service }) => {
  test("runs with as few rights as it needs", () => {
    expect(service).toMatchObject({
      init: true,
      read_only: true,
      cap_drop: ["ALL"],
      security_opt: ["no-new-privileges:true"],
    });
  });

  test("is configured by settings that exist, with values that they take", () => {
    const config = configFromEnvironment(service.environment ?? {});
    expect(config.natsUrl).toBe("nats://nats:4222");
    expect(Number.parseInt(service.stop_grace_period ?? "", 10)).toBeGreaterThan(config.drainSeconds);
  });

  test("serves its metrics where Prometheus looks for them, and its health where the check looks", () => {
    const { adminAddress } = configFromEnvironment(service.environment ?? {});
    expect(adminAddress).toBe("0.0.0.0:9464");
    expect(service.healthcheck?.test.join(" ")).toContain("http://127.0.0.1:9464/readyz");
  });
});

describe("the API", () => {
  const api: ComposeService = compose.services["api"] ?? {};
  const config = configFromEnvironment(api.environment ?? {});
  const file = compose.secrets["api-keys"]?.file ?? "";
  const keys = parseApiKeys(file, readFileSync(join(deployFolder, file), "utf8"));

  test("asks for a key, because it listens on more than loopback", () => {
    expect(config.grpcAddress).toMatch(/^0\.0\.0\.0:/);
    expect(config.apiKeysFile).toBe("/run/secrets/api-keys");
    expect(api.secrets).toContain("api-keys");
  });

  test("knows one key, which says that it is for a demo and is the one that the README tells", () => {
    const readme = readFileSync(join(deployFolder, "README.md"), "utf8");
    const key = /TASKWATCH_API_KEY=(\S+)/.exec(readme)?.[1] ?? "";
    expect(keys).toHaveLength(1);
    expect(keys[0]?.name).toMatch(/demo.*local/);
    expect(keys[0]?.sha256).toBe(createHash("sha256").update(key).digest("hex"));
    expect(key).toContain("demo");
  });

  test("publishes the ports that it listens on", () => {
    const listening = [config.grpcAddress, config.httpAddress, config.adminAddress].map((one) => one.split(":")[1]);
    expect((api.ports ?? []).map((port) => port.split(":")[2])).toEqual(listening);
  });
});

test("the demo worker runs handlers that the build delivers, on data that is mounted", () => {
  const worker: ComposeService = compose.services["worker"] ?? {};
  const handlers = worker.command?.[worker.command.indexOf("--handlers") + 1] ?? "";
  const source = handlers.replace(/^dist\/(.*)\.js$/, "../src/$1.ts");
  expect(existsSync(join(deployFolder, source))).toBe(true);
  const build = readFileSync(join(deployFolder, "../tsconfig.build.json"), "utf8");
  expect(build).toContain("src/dev/demo-handlers.ts");
  expect(worker.volumes).toEqual(["../proto:/data:ro"]);
});

describe("NATS", () => {
  const nats: ComposeService = compose.services["nats"] ?? {};
  const conf = readFileSync(join(deployFolder, "nats/nats.conf"), "utf8");

  test("is new enough, and reads the committed configuration", () => {
    const [, major = "", minor = ""] = /nats:(\d+)\.(\d+)/.exec(nats.image ?? "") ?? [];
    expect(Number(major) * 100 + Number(minor)).toBeGreaterThanOrEqual(214);
    expect(nats.volumes).toContain("./nats/nats.conf:/etc/nats/nats.conf:ro");
    expect(nats.command).toEqual(["--config", "/etc/nats/nats.conf"]);
  });

  test("finds nothing wrong with its configuration", async () => {
    const { path } = await findNatsServer();
    const { stderr, stdout } = await run(path, ["-t", "-c", join(deployFolder, "nats/nats.conf")]);
    expect(stdout + stderr).toContain("is valid");
  });

  test("stores on the volume, has a health port, and may shut down in peace", () => {
    const seconds = (key: string): number => Number(new RegExp(`^${key}: (\\d+)s$`, "m").exec(conf)?.[1]);
    expect(conf).toMatch(/^ {2}store_dir: \/data$/m);
    expect(nats.volumes).toContain("nats-data:/data");
    expect(nats.healthcheck?.test.join(" ")).toContain(`:${/^http_port: (\d+)$/m.exec(conf)?.[1]}/healthz`);
    const neededSeconds = seconds("lame_duck_duration");
    expect(Number.parseInt(nats.stop_grace_period ?? "", 10)).toBeGreaterThan(neededSeconds);
  });
});

describe("Prometheus", () => {
  interface ScrapeConfig {
    readonly job_name: string;
    readonly dns_sd_configs?: readonly { readonly names: readonly string[]; readonly port: number }[];
  }
  const config = readYaml("prometheus/prometheus.yaml") as {
    readonly global: { readonly scrape_interval: string };
    readonly scrape_configs: readonly ScrapeConfig[];
  };

  test("finds nothing wrong with its configuration", async (context) => {
    const path = join(deployFolder, "prometheus/prometheus.yaml");
    const { exitCode, output } = await runPromtool(systemProgram(context, "promtool"), ["check", "config", path]);
    expect(output).toContain("SUCCESS");
    expect(exitCode).toBe(0);
  });

  test("scrapes both roles, and shares a network with them", () => {
    const found = config.scrape_configs.flatMap(({ job_name, dns_sd_configs = [] }) =>
      dns_sd_configs.flatMap(({ names, port }) => names.map((name) => `${job_name} ${name}:${port}`)),
    );
    expect(found).toEqual(["taskwatch-api api:9464", "taskwatch-worker worker:9464"]);
    for (const name of ["api", "worker", "prometheus"]) {
      expect(compose.services[name]?.networks).toContain("monitoring");
    }
  });

  test("tells Grafana the interval at which it scrapes", () => {
    const { datasources } = readYaml("grafana/provisioning/datasources/prometheus.yaml") as {
      readonly datasources: readonly { readonly url: string; readonly jsonData: { readonly timeInterval: string } }[];
    };
    expect(datasources.map(({ jsonData }) => jsonData.timeInterval)).toEqual([config.global.scrape_interval]);
    expect(datasources.map(({ url }) => url)).toEqual(["http://prometheus:9090"]);
  });
});

test("Grafana is given every dashboard, where it looks for them", () => {
  const { providers } = readYaml("grafana/provisioning/dashboards/taskwatch.yaml") as {
    readonly providers: readonly { readonly options: { readonly path: string } }[];
  };
  const folder = providers[0]?.options.path ?? "";
  const mounted = (compose.services["grafana"]?.volumes ?? []).filter((volume) => volume.includes(folder));
  const wanted = [...readDashboards().keys()].map((file) => `./grafana/${file}:${normalize(`${folder}/${file}`)}:ro`);
  expect(mounted).toEqual(wanted);
});
