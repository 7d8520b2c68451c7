/** @file What a client that waits for its job is told where the job's record is gone. */

import { describe, expect, it } from "vitest";
import { dataLost } from "../jobs/failure.js";
import { memoryQueue } from "../jobs/memory-queue.js";
import type { JobStatus } from "../jobs/queue.js";
import { ClientTracker } from "./client-tracker.js";
import { JobFailed } from "./problem.js";

describe("a job of which no queue knows any more", () => {
  const idle = { models: [], process: () => [], close: async () => {} };
  const unknown = { id: "gone" } as JobStatus;

  it("is lost to the client that waits for it, and cancelled if that client hung up", async () => {
    const clients = new ClientTracker(memoryQueue(idle));
    await expect(clients.outcome(unknown, new AbortController().signal)).rejects.toEqual(
      new JobFailed(dataLost),
    );
    await expect(clients.outcome(unknown, AbortSignal.abort())).rejects.toMatchObject({ name: "Cancelled" });
  });
});
