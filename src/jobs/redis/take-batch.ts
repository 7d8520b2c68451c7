/** @file Takes a batch of jobs from BullMQ: the first that waits and those behind it that may share its batch. */

import type { Job } from "bullmq";
import { Batch } from "../batch.js";
import type { JobRequest } from "../processor.js";

/** A job and the token of its lock; `request` is absent where the job is over already. */
export type TakenJob = { job: Job; token: string; request: JobRequest | undefined };

/** `share` is how many jobs this worker may take, so that other workers get some. */
export async function takeBatch(
  take: () => Promise<TakenJob | undefined>,
  share: () => Promise<number>,
): Promise<TakenJob[]> {
  const first = await take();
  if (!first) return [];
  const taken = [first];
  if (!first.request) return taken;
  const batch = new Batch(first.request);
  const most = batch.full ? 1 : await share();
  while (!batch.full && taken.length < most) {
    const next = await take();
    if (!next) break;
    if (next.request && !batch.add(next.request)) {
      // To the front, where it came from.
      await next.job.moveToWait(next.token);
      break;
    }
    taken.push(next);
  }
  return taken;
}
