/**
 * What a worker does with a job that it was delivered.
 *
 * A job is a hint that its task may want to run; the record says whether it does. JetStream delivers a job again when its
 * lease (the consumer's ack wait) has run out without a sign of life, and only the NATS server judges that: a higher
 * delivery count of the very job an attempt runs under is the proof that the attempt has lost its lease. Clocks of
 * workers are not compared.
 */
import { timestampMs } from "@bufbuild/protobuf/wkt";

import { TaskState } from "../gen/taskwatch/v1/task_pb.ts";
import type { Task } from "./task.ts";
import { isTerminal } from "./transitions.ts";

/** A job as delivered. */
export interface Delivery {
  /** Its stream sequence. */
  readonly jobSequence: number;
  /** How often it has been delivered, this time included. */
  readonly jobDelivery: number;
  /** The revision that its claim replaces: 0 for a fresh task. */
  readonly expectedRevision: number;
}

/** When a job is looked at, and when its task was accepted: in ms since 1970. */
export interface DeliveryTimes {
  readonly nowMs: number;
  readonly createMs: number;
}

/**
 * The next step:
 *
 * - `claim`: start an attempt in place of the record as read;
 * - `renew`: the record is what is left of an earlier task under the same id; start the first attempt of the new one in its place;
 * - `takeover`: the attempt of the record has lost its lease; start the next, or end the task;
 * - `hold`: an attempt may be alive; keep the job for one lease, and take over if the record has not moved by then;
 * - `delay`: the task waits for its backoff; make sure that the message which ends the wait exists, then drop the job;
 * - `drop`: the job has nothing left to say; acknowledge it.
 */
export type DeliveryStep = "claim" | "renew" | "takeover" | "hold" | "delay" | "drop";

/** Decides by the record as read from the leader; undefined if there is none. */
export function nextStep(
  delivery: Delivery,
  record: Task | undefined,
  { nowMs, createMs }: DeliveryTimes,
): DeliveryStep {
  // A fresh task has no record yet; a later job without one belongs to a status that is no longer kept.
  if (record === undefined) return delivery.expectedRevision === 0 ? "claim" : "drop";
  const { state, jobSequence, jobDelivery, retryMs } = record.head;
  if (isTerminal(state))
    return delivery.expectedRevision === 0 && isLeftOver(record, nowMs, createMs) ? "renew" : "drop";
  if (state === TaskState.RETRYING) {
    // The server fired this very job, so the wait is over whatever our clock says. Any other job for a task whose wait
    // is over may stand in for one that went missing: the compare-and-set lets only one of them through.
    const due = record.revision === delivery.expectedRevision || nowMs >= Number(retryMs);
    return due ? "claim" : "delay";
  }
  // With another job, or one whose deliveries are counted anew because its consumer was made again, nothing is proven yet.
  const proven = Number(jobSequence) === delivery.jobSequence && delivery.jobDelivery > jobDelivery;
  return proven ? "takeover" : "hold";
}

/**
 * Whether a record of a task that has ended is only still there because the store forgets late, and the job was accepted after
 * that end. Otherwise the job is an old one of the same task, and must not run again.
 */
function isLeftOver({ head, mutable: { endTime } }: Task, nowMs: number, createMs: number): boolean {
  return nowMs >= Number(head.expireMs) && endTime !== undefined && createMs > timestampMs(endTime);
}
