/** @file Which jobs a worker takes at once: those that its painter paints as one batch, and no more than its share. */

import type { Job } from "bullmq";
import { batchKey, picturesAtOnce } from "../batch.js";
import type { Order } from "../paint.js";

/** `order` is absent where the job is over already. */
export type Taken = { job: Job; token: string; order: Order | undefined };

export async function takeGroup(
  take: () => Promise<Taken | undefined>,
  share: () => Promise<number>,
): Promise<Taken[]> {
  const first = await take();
  if (!first) return [];
  const key = first.order && batchKey(first.order);
  const group = [first];
  if (!first.order || key === undefined) return group;
  let room = picturesAtOnce(first.order.settings) - first.order.settings.count;
  const most = room > 0 ? await share() : 1;
  while (room > 0 && group.length < most) {
    const next = await take();
    if (!next) break;
    const { count = 0 } = next.order?.settings ?? {};
    if (next.order && (count > room || batchKey(next.order) !== key)) {
      // To the front, where it came from.
      await next.job.moveToWait(next.token);
      break;
    }
    group.push(next);
    room -= count;
  }
  return group;
}
