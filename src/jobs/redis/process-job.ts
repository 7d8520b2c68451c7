/** @file One job that a worker took: generated, given up, handed back or left to another. Must not know how it was taken. */

import type { Job } from "bullmq";
import { Cancelled, InvalidRequest, ModelError } from "../../errors.js";
import { failureOf, isForTheLog } from "../failure.js";
import type { JobProcessor, JobRequest } from "../processor.js";
import type { JobFailure } from "../schemas.js";
import { isFull, outageOf } from "./connection.js";
import type { JobStore, RecordCheck } from "./store.js";
import type { Taken } from "./take-batch.js";

export type Outcome = "done" | "failed" | "cancelled" | "retried" | "released" | "lost" | "over";

export type Context = {
  store: JobStore;
  processor: JobProcessor;
  onError: (error: unknown) => void;
};

/** A job that is being generated. `controller` may be aborted with "cancelled", "released" (the worker stops) or "lost" (its lock is gone). */
export type ProcessingJob = { job: Job; owner: string; request: JobRequest; controller: AbortController };

/** Signs the record; false where there is nothing to generate, and BullMQ then knows it. */
export async function beginJob({ job, token, request }: Taken, store: JobStore): Promise<boolean> {
  if (request && (await store.begin(job.id!, token)) === "go") return true;
  await finish(job, token, "over");
  return false;
}

/** Those that are given in one turn of the event loop are generated as one batch, if they can be. */
export async function processJob(processing: ProcessingJob, context: Context): Promise<Outcome> {
  const { job, owner, request, controller } = processing;
  const { store } = context;
  const id = job.id!;
  try {
    for await (const event of context.processor.process(request, controller.signal)) {
      const outcome = await throughOutage(() => store.report(id, owner, event), controller.signal);
      if (outcome !== "go") controller.abort(outcome);
    }
    const ended = await throughOutage(() => store.end(id, owner, "done"), controller.signal);
    return await finish(job, owner, outcome("done", ended));
  } catch (error) {
    return failed(processing, error, context);
  }
}

async function failed({ job, owner, controller }: ProcessingJob, error: unknown, context: Context) {
  const { store, onError } = context;
  const { signal } = controller;
  const id = job.id!;
  if (error instanceof Cancelled && signal.reason === "lost") return "lost";
  if (error instanceof Cancelled && signal.reason === "released") {
    const released = outcome("released", await store.release(id, owner, true));
    if (released === "released") await job.moveToWait(owner);
    else await finish(job, owner, released);
    return released;
  }
  if (error instanceof Cancelled)
    return finish(job, owner, outcome("cancelled", await store.end(id, owner, "cancelled")));
  if (isForTheLog(error)) onError(error);
  if (!isFinal(error) && job.attemptsMade + 1 < (job.opts.attempts ?? 1)) {
    const retried = outcome("retried", await store.release(id, owner, false));
    if (retried === "retried") await job.moveToFailed(error as Error, owner);
    else await finish(job, owner, retried);
    return retried;
  }
  const failure = isFull(error) ? noRoom : failureOf(error);
  return finish(job, owner, outcome("failed", await store.end(id, owner, "failed", failure)));
}

/** What is wrong with the request or the model is so the next time too; for room a job has waited already. */
const isFinal = (error: unknown): boolean =>
  error instanceof InvalidRequest || error instanceof ModelError || isFull(error);

const noRoom: JobFailure = {
  code: "unavailable",
  message:
    "queue: must have room for the job's images, got a Redis that is full (maxmemory). Try again later.",
};

/** A Redis that is full for so long will not have room soon. */
const fullSeconds = 10;

/** Tells it as soon as Redis takes it, which a job must not fail for; Cancelled if it is cancelled meanwhile. */
async function throughOutage<T>(emit: () => Promise<T>, signal: AbortSignal): Promise<T> {
  const start = Date.now();
  for (;;) {
    try {
      return await emit();
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

/** The record is right already: BullMQ need not deal the job out again. Where the lock is lost it will, to no effect. */
async function finish(job: Job, owner: string, outcome: Outcome): Promise<Outcome> {
  if (outcome !== "lost") await job.moveToCompleted(null, owner, false).catch(() => {});
  return outcome;
}
