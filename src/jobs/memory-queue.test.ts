/** @file The queue in memory: batches, its end, forgetting. test/queue-conformance.ts has what every queue does. */

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { followed, jobsIn, tinyRequest } from "../../test/queue-conformance.js";
import { tinyModel } from "../../test/serving.js";
import { memoryQueue } from "./memory-queue.js";
import { type ModelRegistry, openModelRegistry } from "./model-registry.js";
import { openProcessor } from "./pipeline-processor.js";
import type { JobProcessor } from "./processor.js";

let models: ModelRegistry;
let processor: JobProcessor;
beforeAll(async () => {
  models = await openModelRegistry([tinyModel]);
  processor = openProcessor(models, { threads: 1 });
});
afterAll(() => processor.close());

describe("the queue in memory", () => {
  it("generates in one batch 8 equal jobs, in each of 12 rounds", async () => {
    const batches: string[][] = [];
    const process: JobProcessor["process"] = (batch) => {
      batches.push(batch.map(({ request }) => request.settings.seed));
      return processor.process(batch);
    };
    const queue = memoryQueue({ ...processor, process });
    const seeds = [...Array(8).keys()].map(String);
    for (let round = 0; round < 12; round++) {
      const jobs = [];
      for (const seed of seeds)
        jobs.push(await queue.submit(await tinyRequest(models, { seed: Number(seed), steps: 1 })));
      const ends = await Promise.all(jobs.map(async ({ id }) => jobsIn(await followed(queue, id)).at(-1)!));
      expect(ends.map(({ state, images }) => [state, images[0]!.seed])).toEqual(
        seeds.map((seed) => ["done", seed]),
      );
    }
    expect(batches).toEqual(Array.from({ length: 12 }, () => seeds));
    await queue.close();
  });

  it("begins all jobs of a batch at once", async () => {
    const queue = memoryQueue(processor);
    for (const seed of [1, 2, 3]) await queue.submit(await tinyRequest(models, { seed }));
    await new Promise((resolve) => setTimeout(resolve, 0)); // behind the queue's own
    expect(await queue.depth()).toEqual({ queued: 0, running: 3 });
    await queue.close();
  });

  it("finishes what runs within the grace when closed, and cancels the rest", async () => {
    const queue = memoryQueue(processor);
    const one = await queue.submit(await tinyRequest(models, { steps: 4 }));
    const two = await queue.submit(await tinyRequest(models, { width: 72, height: 72, steps: 100 }));
    for await (const event of queue.events(one.id)) if (event.type === "step") break;
    await queue.close({ graceSeconds: 60 });
    expect((await queue.get(one.id))!.state).toBe("done");
    expect((await queue.get(two.id))!.state).toBe("cancelled");
  });

  it("forgets the oldest images when they take more memory than they may", async () => {
    const queue = memoryQueue(processor, { keepBytes: 20_000 });
    const ids = [];
    for (const seed of [1, 2, 3]) {
      const { id } = await queue.submit(await tinyRequest(models, { seed }));
      await followed(queue, id);
      ids.push(id);
    }
    const kept = (await queue.list()).map(({ id }) => id);
    expect(kept).toEqual([ids[2]]);
    expect((await queue.image(ids[2]!, 0))!.bytes.length).toBeLessThan(20_000);
    await queue.close();
  });
});
