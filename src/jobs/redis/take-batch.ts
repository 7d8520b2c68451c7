/** @file Which jobs a worker takes at once: those that its processor generates as one batch, and no more than its share. */

import type { Job } from "bullmq";
import { Batch } from "../batch.js";
import type { JobRequest } from "../processor.js";

/** `order` is absent where the job is over already. */
export type Taken = { job: Job; token: string; request: JobRequest | undefined };

export async function takeGroup(
  take: () => Promise<Taken | undefined>,
  share: () => Promise<number>,
): Promise<Taken[]> {
  const first = await take();
  if (!first) return [];
  const group = [first];
  if (!first.request) return group;
  const batch = new Batch(first.request);
  const most = batch.full ? 1 : await share();
  while (!batch.full && group.length < most) {
    const next = await take();
    if (!next) break;
    if (next.request && !batch.takes(next.request)) {
      // To the front, where it came from.
      await next.job.moveToWait(next.token);
      break;
    }
    group.push(next);
  }
  return group;
}
