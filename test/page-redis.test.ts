/** @file Tests of the page of a server whose models workers of Redis generate with: embeddings, tokens, the queue. */

import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import type { ModelList } from "../src/jobs/model-schemas.js";
import type { JobList } from "../src/jobs/schemas.js";
import { generate, imageShown, setUpPage, textOf } from "./page-setup.js";
import { type RedisServer, startRedis } from "./redis-server.js";
import { goldenModel, tinyEmbedding } from "./serving.js";
import { startWorker, type WorkerProcess } from "./worker-process.js";

const redis: RedisServer = await startRedis();
const site = setUpPage({ models: [], redis: redis.url, limits: { steps: 1000 } });
let worker: WorkerProcess | undefined;
beforeAll(async () => {
  worker = startWorker(redis.url, goldenModel, "--embedding", `badmix=${tinyEmbedding.file}`);
  await vi.waitFor(
    async () => expect((await site.api<ModelList>("/api/models")).models).toHaveLength(1),
    20_000,
  );
});
afterAll(async () => {
  await worker?.kill("SIGKILL");
  await redis.stop();
});

describe("the page of a server with workers", () => {
  it("shows an embedding of theirs as a chip, counts its vectors, and generates with it", async () => {
    const page = await site.open();
    await page.getByLabel("Add an embedding to the prompt").selectOption(tinyEmbedding.token);
    expect(await page.inputValue("#prompt")).toBe("badmix");
    await expect.poll(() => textOf(page, "#prompt-count")).toBe("4 of 75 tokens");
    await generate(page, "a (badmix:1.2) cup", { steps: "2" });
    await imageShown(page);
    const { settings, warnings } = await site.lastJob();
    expect([settings.prompt, settings.promptSyntax, warnings]).toEqual(["a (badmix:1.2) cup", "a1111", []]);
  });

  it("lists what runs and waits at the workers, each cancellable", async () => {
    const page = await site.open();
    await generate(page, "a cat", { steps: "900" });
    await page.waitForSelector("text=/Step \\d/");
    for (const prompt of ["a dog", "a fox", "a hen"]) await generate(page, prompt, { steps: "1" });
    const prompts = async () => page.locator(".queue .queued-prompt").allInnerTexts();
    await expect.poll(prompts).toEqual(["a cat", "a dog", "a fox", "a hen"]);
    await page.getByLabel("Cancel: a fox").click();
    await expect.poll(prompts).toEqual(["a cat", "a dog", "a hen"]);
    await page.getByLabel("Cancel: a cat").click();
    await page.waitForSelector(".queue", { state: "detached" });
    const states = async () => {
      const { jobs } = await site.api<JobList>("/api/jobs");
      return Object.fromEntries(jobs.map(({ settings, state }) => [settings.prompt, state]));
    };
    await expect
      .poll(states)
      .toMatchObject({ "a cat": "cancelled", "a dog": "done", "a fox": "cancelled", "a hen": "done" });
  });
});
