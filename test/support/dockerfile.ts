import { readFileSync } from "node:fs";
import { join } from "node:path";

import { deployFolder } from "./compose.ts";

/** One instruction of a Dockerfile, continued lines joined. */
export interface Instruction {
  /** In capitals, such as `RUN`. */
  readonly keyword: string;
  readonly value: string;
}

/** A stage, its `FROM` included. */
export type Stage = readonly Instruction[];

/** The stages of the committed Dockerfile. The last one is what is shipped. */
export function readDockerfileStages(): Stage[] {
  const text = readFileSync(join(deployFolder, "Dockerfile"), "utf8");
  const lines = text
    .replaceAll(/^\s*#.*$/gm, "")
    .replaceAll(/\\\n/g, " ")
    .split("\n")
    .filter((line) => line.trim() !== "");
  const stages: Instruction[][] = [];
  for (const line of lines) {
    const [keyword = "", ...rest] = line.trim().split(/\s+/);
    if (keyword === "FROM") stages.push([]);
    stages.at(-1)?.push({ keyword, value: rest.join(" ") });
  }
  return stages;
}

/** The values of all instructions of one kind. */
export function valuesOf(stage: Stage, keyword: string): string[] {
  return stage.filter((instruction) => instruction.keyword === keyword).map(({ value }) => value);
}
