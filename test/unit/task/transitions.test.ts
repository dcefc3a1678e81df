import { expect, test } from "vitest";

import { TaskState } from "../../../src/gen/taskwatch/v1/task_pb.ts";
import { assertTransition, isTerminal, stateName, transitions, type Writer } from "../../../src/task/transitions.ts";

const states = Object.values(TaskState).filter((state) => state !== TaskState.UNSPECIFIED);
const writers: readonly Writer[] = ["api", "claim", "attempt", "takeover", "sweeper"];

test("a terminal state leads nowhere, whoever writes", () => {
  for (const from of states.filter(isTerminal)) {
    for (const to of states) {
      for (const writer of writers) expect(() => assertTransition(from, to, writer)).toThrow(stateName(from));
    }
  }
});

test("every state can reach a terminal one", () => {
  const reaching = new Set<TaskState>(states.filter(isTerminal));
  for (const _ of states) {
    for (const { from, to } of transitions) if (reaching.has(to)) reaching.add(from);
  }
  expect(reaching).toEqual(new Set<TaskState>(states));
});

test("nothing leads back to a task that has no record", () => {
  expect(transitions.filter(({ to }) => to === TaskState.QUEUED || to === TaskState.SCHEDULED)).toEqual([]);
});

test("only a claim or a takeover starts an attempt", () => {
  const starting = transitions.filter(({ from, to }) => to === TaskState.RUNNING && from !== TaskState.RUNNING);
  expect(new Set(starting.flatMap((transition) => transition.writers))).toEqual(new Set(["claim"]));
});

test("only an attempt records success", () => {
  const successes = transitions.filter(({ to }) => to === TaskState.SUCCEEDED);
  expect(new Set(successes.flatMap((transition) => transition.writers))).toEqual(new Set(["attempt"]));
});

test("no step is listed twice", () => {
  const steps = transitions.map(({ from, to }) => `${stateName(from)} ${stateName(to)}`);
  expect(new Set(steps).size).toBe(steps.length);
});
