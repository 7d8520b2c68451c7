/** @file The course of one job at a worker: begun, reported, and ended, retried or released. */

import type { Job } from "bullmq";
import { Cancelled, InvalidRequest, ModelError } from "../../errors.js";
import { tooManyOpen } from "../../files/file-errors.js";
import { failureOf, isForTheLog } from "../failure.js";
import type { ProcessorEvent } from "../processor.js";
import type { JobFailure } from "../schemas.js";
import { isFull, outageOf } from "./outage.js";
import type { JobStore, RecordCheck } from "./store.js";
import type { TakenJob } from "./take-batch.js";

export type Outcome = "done" | "failed" | "cancelled" | "retried" | "released" | "lost" | "over";

type Context = { store: JobStore; onError: (error: unknown) => void };

/**
 * A job that this worker runs. Its signal fires with the reason "cancelled", "released" (the worker stops) or "lost"
 * (its lock is gone).
 */
export type WorkerJob = TakenJob & { controller: AbortController };

/** Makes this worker the owner of the job's record; false where the job is over, which then ends in BullMQ too. */
export async function beginJob({ job, token, request }: TakenJob, store: JobStore): Promise<boolean> {
  if (request && (await store.begin(job.id!, token)) === "go") return true;
  await finish(job, token, "over");
  return false;
}

/** Reports a job's events until it ends. */
export async function reportJob(
  workerJob: WorkerJob,
  events: AsyncIterable<ProcessorEvent>,
  context: Context,
): Promise<Outcome> {
  const { job, token, controller } = workerJob;
  const { store } = context;
  const id = job.id!;
  try {
    for await (const event of events) {
      const outcome = await throughOutage(() => store.report(id, token, event), controller.signal);
      if (outcome !== "go") controller.abort(outcome);
    }
    const ended = await throughOutage(() => store.end(id, token, "done"), controller.signal);
    return await finish(job, token, outcome("done", ended));
  } catch (error) {
    return failed(workerJob, error, context);
  }
}

async function failed({ job, token, controller }: WorkerJob, error: unknown, context: Context) {
  const { store, onError } = context;
  const { signal } = controller;
  const id = job.id!;
  if (error instanceof Cancelled && signal.reason === "lost") return "lost";
  if (error instanceof Cancelled && signal.reason === "released") {
    const released = outcome("released", await store.release(id, token, true));
    if (released === "released") await job.moveToWait(token);
    else await finish(job, token, released);
    return released;
  }
  if (error instanceof Cancelled)
    return finish(job, token, outcome("cancelled", await store.end(id, token, "cancelled")));
  if (isForTheLog(error)) onError(error);
  if (!isFinal(error) && job.attemptsMade + 1 < (job.opts.attempts ?? 1)) {
    const retried = outcome("retried", await store.release(id, token, false));
    if (retried === "retried") await job.moveToFailed(error as Error, token);
    else await finish(job, token, retried);
    return retried;
  }
  const failure = isFull(error) ? noRoom : failureOf(error);
  return finish(job, token, outcome("failed", await store.end(id, token, "failed", failure)));
}

/** Whether another try would fail as well. */
const isFinal = (error: unknown): boolean =>
  error instanceof InvalidRequest || (error instanceof ModelError && !tooManyOpen(error)) || isFull(error);

const noRoom: JobFailure = {
  code: "unavailable",
  message:
    "queue: must have room for the job's images, got a Redis that is full (maxmemory). Try again later.",
};

/** A Redis that was full for this long will not have room soon. */
const fullSeconds = 10;

/** Reports as soon as Redis takes it: an outage must not fail a job. Cancelled if the job is cancelled meanwhile. */
async function throughOutage<T>(report: () => Promise<T>, signal: AbortSignal): Promise<T> {
  const start = Date.now();
  for (;;) {
    try {
      return await report();
    } catch (error) {
      const outage = outageOf(error);
      if (!outage || (outage.kind === "full" && Date.now() - start > fullSeconds * 1000)) throw error;
      if (signal.aborted) throw new Cancelled();
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
  }
}

const outcome = <T extends Outcome>(wanted: T, outcome: RecordCheck): T | "cancelled" | "lost" =>
  outcome === "go" ? wanted : outcome;

/** Ends the job in BullMQ: its record is final. Without the lock BullMQ delivers it again, to no effect. */
async function finish(job: Job, token: string, outcome: Outcome): Promise<Outcome> {
  if (outcome !== "lost") await job.moveToCompleted(null, token, false).catch(() => {});
  return outcome;
}
