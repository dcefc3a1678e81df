import { setImmediate as turn } from "node:timers/promises";

import { expect, test } from "vitest";

import { createReadIndex } from "../../../src/view/read-index.ts";

function slowLeader() {
  const questions: { readonly answer: (revision: number) => void; readonly fail: (error: Error) => void }[] = [];
  const readIndex = createReadIndex(() => {
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    questions.push({ answer: resolve, fail: reject });
    return promise;
  });
  return { questions, read: (signal = new AbortController().signal) => readIndex.read(signal) };
}

test("one question answers all who ask at one time; who comes later waits for the next", async () => {
  const { questions, read } = slowLeader();
  const early = Array.from({ length: 100 }, () => read());
  await turn();
  await turn();
  expect(questions).toHaveLength(1);
  const late = Array.from({ length: 100 }, () => read());
  await turn();
  expect(questions).toHaveLength(1);
  questions[0]!.answer(7);
  expect(new Set(await Promise.all(early))).toEqual(new Set([7]));
  await turn();
  expect(questions).toHaveLength(2);
  questions[1]!.answer(8);
  expect(new Set(await Promise.all(late))).toEqual(new Set([8]));
});

test("a failure is told to those who asked, and the next question is asked all the same", async () => {
  const { questions, read } = slowLeader();
  const first = [read(), read()].map((answer) => answer.catch((error: unknown) => error));
  await turn();
  await turn();
  const second = read();
  questions[0]!.fail(new Error("no leader"));
  expect(await Promise.all(first)).toEqual([new Error("no leader"), new Error("no leader")]);
  await turn();
  await turn();
  questions[1]!.answer(3);
  expect(await second).toBe(3);
});

test("who gives up does not take the answer from the others", async () => {
  const { questions, read } = slowLeader();
  const controller = new AbortController();
  const impatient = read(controller.signal).catch((error: unknown) => error);
  const patient = read();
  controller.abort(new Error("gone"));
  expect(await impatient).toEqual(new Error("gone"));
  await turn();
  await turn();
  questions[0]!.answer(1);
  expect(await patient).toBe(1);
});
