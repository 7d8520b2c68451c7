/** @file Tests of generating on the page, in Chromium against a real server: previews, queue, cancelling, problems. */

import { describe, expect, it } from "vitest";
import { serve } from "../src/server/serve.js";
import { phone } from "./browser.js";
import { generate, imageShown, setUpPage, textOf } from "./page-setup.js";
import { goldenModel } from "./serving.js";

const site = setUpPage({ limits: { steps: 900 } });

describe("generating", () => {
  it("shows a preview of the image, then the image with its settings", async () => {
    const page = await site.open();
    await generate(page, "a red bicycle", { steps: "150", seed: "7" });
    await Promise.all([
      page.waitForSelector('.frame image[href^="data:image/jpeg"]'),
      page.waitForSelector("text=/Step \\d+ of 150 · \\d+ s left/"),
    ]);
    await imageShown(page);
    const { settings } = await site.lastJob();
    const facts = await textOf(page, ".image .facts");
    expect(facts).toMatch(/Steps\s+150/);
    expect(facts).toContain(settings.seed);
    expect(await page.locator(".thumb").count()).toBe(1);
    expect(settings.negativePrompt).toBeUndefined();
  });

  it("begins with the model's defaults, and offers sizes by shape", async () => {
    const page = await site.open();
    const { models } = await site.api<{ models: { defaults: Record<string, unknown> }[] }>("/api/models");
    expect(await page.inputValue("#steps")).toBe(String(models[0]!.defaults.steps));
    expect(await page.inputValue("#scheduler")).toBe(models[0]!.defaults.scheduler);
    await page.click("text=Portrait");
    expect([await page.inputValue("#width"), await page.inputValue("#height")]).toEqual(["56", "72"]);
    await page.click("role=button[name=Defaults]");
    expect(await page.inputValue("#width")).toBe(String(models[0]!.defaults.width));
  });

  it("draws a new seed for every generation until the seed is locked", async () => {
    const page = await site.open();
    const seeds: string[] = [];
    for (const press of ["", "", "[aria-label='Keep this seed']"]) {
      if (press) await page.click(press);
      await generate(page, "a cat", { steps: "1" });
      await page.waitForSelector(`.thumb:nth-child(${seeds.length + 1})`);
      await page.waitForSelector(".generating", { state: "detached" });
      seeds.push((await site.lastJob()).settings.seed);
    }
    expect(seeds[1]).not.toBe(seeds[0]);
    expect(seeds[2]).toBe(seeds[1]);
  });

  it("scrolls its progress and cancel button into view on a phone", async () => {
    const page = await site.open(phone);
    await page.click(".settings summary");
    await generate(page, "a red bicycle", { steps: "900" });
    await page.waitForSelector(".generating .progress >> text=Step");
    const cancel = page.locator(".generating >> text=Cancel");
    const inSight = async () => {
      const { y, height } = (await cancel.boundingBox())!;
      return y >= 0 && y + height <= phone.viewport.height;
    };
    await expect.poll(inSight).toBe(true);
    await cancel.tap();
    await page.waitForSelector(".generating", { state: "detached" });
  });

  it("is cancelled by Escape, on the server too", async () => {
    const page = await site.open();
    await generate(page, "a cat", { steps: "900", count: "16" });
    await page.waitForSelector(".frame image");
    await page.keyboard.press("Escape");
    await page.waitForSelector("text=Stopped.");
    await page.waitForSelector(".empty");
    await expect.poll(async () => (await site.lastJob()).state).toBe("cancelled");
  });

  it("queues a second request behind the running one", async () => {
    const page = await site.open();
    await generate(page, "a cat", { steps: "900", count: "4" });
    await page.waitForSelector(".generating");
    await generate(page, "a dog", { steps: "1", count: "1" });
    await page.waitForSelector("text=Cancel all 2");
    await page.keyboard.press("Escape");
    await imageShown(page);
    expect(await textOf(page, ".image .generated-prompt")).toBe("a dog");
  });

  it("continues on the page after a reload", async () => {
    const page = await site.open();
    await generate(page, "a slow cat", { steps: "80", count: "6" });
    await page.waitForSelector(".frame image");
    await page.reload();
    await page.waitForSelector(".thumb:nth-child(6)");
    await imageShown(page);
    expect(await page.locator(".thumb").count()).toBe(6);
    expect(await textOf(page, ".image .generated-prompt")).toBe("a slow cat");
  });

  it("shows a problem and marks the field that it concerns", async () => {
    const page = await site.open();
    await page.keyboard.press("Control+Enter");
    await page.waitForSelector("text=Describe the image first");
    await generate(page, "a cat", { steps: "901" });
    await page.waitForSelector("text=steps: must be at most 900 on this server, got 901.");
    expect(await page.getAttribute("#steps", "aria-invalid")).toBe("true");
    site.complaints.splice(0, 1); // Chromium logs the response 422
  });
});

describe("a server", () => {
  it("with an API key is usable after the right key was entered", async () => {
    const key = "a-key-of-some-length";
    const guarded = await serve({ models: [goldenModel], port: 0, threads: 1, apiKey: key });
    const page = await site.open(undefined, guarded.url);
    for (const [given, next] of [
      ["another-key", "text=The server does not accept this key."],
      [key, "#prompt"],
    ] as const) {
      await page.fill("#key", given);
      await page.keyboard.press("Enter");
      await page.waitForSelector(next);
    }
    await generate(page, "a cat", { steps: "2" });
    await imageShown(page);
    await page.reload();
    await page.waitForSelector(".thumb");
    site.complaints.splice(0, 2); // Chromium logs the responses 401
    await page.goto("about:blank"); // or what it still asks of the server is refused
    await guarded.close({ graceSeconds: 0 });
  });

  it("that does not answer is reported, and the form keeps its values", async () => {
    const page = await site.open();
    await page.context().setOffline(true);
    await generate(page, "a cat");
    await page.waitForSelector("text=The server does not answer.");
    await page.context().setOffline(false);
    await page.keyboard.press("Control+Enter");
    await imageShown(page);
    // Chromium logs each request without a connection: the job, and its token counts.
    const logged = site.complaints.splice(0);
    expect(new Set(logged)).toEqual(new Set(["Failed to load resource: net::ERR_INTERNET_DISCONNECTED"]));
  });
});
