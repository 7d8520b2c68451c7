/** @file Tests of the page of `koala watch`, in Chromium: live update, reading values, sample images, accessibility. */

import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import type { Browser, Page } from "playwright-core";
import sharp from "sharp";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Listening } from "../src/http/listen.js";
import { appendMetrics } from "../src/monitor/metrics.js";
import { writeRun } from "../src/monitor/run.js";
import { serveMonitor } from "../src/monitor/server.js";
import { axeViolations, overflow } from "./accessibility.js";
import { desktop, openBrowser, phone, type Visit, visit } from "./browser.js";

let browser: Browser;
let folder: string;
let server: Listening;
let opened: Visit | undefined;

beforeAll(async () => {
  browser = await openBrowser();
});
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "koala-monitor-"));
  const run = { command: "distill", started: "2026-11-22T10:00:00Z", steps: 10 };
  await writeRun(folder, { ...run, models: { teacher: "sdxl", student: "koala" }, options: { seed: 7 } });
  server = await serveMonitor(folder, { port: 0, everyMs: 50 });
});
afterEach(async () => {
  await opened?.close();
  await server.close();
  await rm(folder, { recursive: true });
  expect(opened?.complaints ?? []).toEqual([]);
});
afterAll(() => browser?.close());

async function open(options = {}): Promise<Page> {
  opened = await visit(browser, server.url, options, "main");
  return opened.page;
}

async function addStep(step: number, loss = 1 / step): Promise<void> {
  const speed = { imagesPerSecond: 4, secondsPerStep: 2, time: new Date().toISOString() };
  await appendMetrics(folder, { step, epoch: step / 5, loss, lr: 1e-5, gradNorm: 0.9, ...speed });
}

async function addSamples(step: number, prompts: readonly string[]): Promise<void> {
  const samples = path.join(folder, "samples", `step-${String(step).padStart(6, "0")}`);
  await mkdir(samples, { recursive: true });
  const create = { width: 64, height: 64, channels: 3, background: { r: 20 * step, g: 90, b: 60 } } as const;
  const list = prompts.map((prompt, i) => ({ prompt, seed: 7, file: `${i}.png` }));
  for (const { file } of list) await sharp({ create }).png().toFile(path.join(samples, file));
  await writeFile(path.join(samples, "prompts.json"), JSON.stringify(list));
}

const text = (page: Page, selector: string) => page.locator(selector).innerText();

describe("the page of koala watch", () => {
  it("shows steps, curves and images as they are written, and the end of the run", async () => {
    const page = await open();
    await page.waitForSelector("text=waiting for the first step");
    await page.waitForSelector("text=No steps yet.");
    for (const step of [1, 2, 3]) await addStep(step);
    await page.waitForSelector("text=3 of 10");
    expect(await text(page, ".run-facts")).toMatch(/loss\s+0\.3333[\s\S]*time left\s+14 s/);
    expect(await page.locator(".panel .name").allTextContents()).toEqual(
      ["loss", "gradient norm", "learning rate", "images per second"], //
    );
    expect(await page.title()).toBe(`30 % ${path.basename(folder)}`);
    await addSamples(2, ["a koala"]);
    await page.waitForSelector(".sample img");
    for (const step of [4, 5, 6, 7, 8, 9, 10]) await addStep(step);
    await page.waitForSelector(".status >> text=finished");
    expect(await text(page, ".page-header h1")).toBe(path.basename(folder));
  });

  it("reads the values of a step off all charts, by pointer and by keys", async () => {
    for (const step of [1, 2, 3, 4]) await addStep(step);
    const page = await open();
    await page.waitForSelector(".panel");
    await page.fill("text=Smoothing", "0");
    await page.locator(".panel").first().press("End");
    await page.keyboard.press("ArrowLeft");
    const readouts = page.locator(".readout");
    expect(await readouts.allInnerTexts()).toEqual(
      ["step 3: 0.3333", "step 3: 0.9", "step 3: 1.000e-5", "step 3: 4"], //
    );
    await page.keyboard.press("Escape");
    expect(await readouts.count()).toBe(0);
    await page
      .locator(".panel svg")
      .first()
      .hover({ position: { x: 60, y: 60 } });
    expect(await readouts.first().innerText()).toBe("step 1: 1");
  });

  it("shows a loss that is not finite, and a file that cannot be read", async () => {
    await addStep(1);
    await addStep(2, Number.NaN);
    const page = await open();
    await page.waitForSelector(".panel >> text=not finite at step 2");
    expect(await text(page, ".run-facts")).toMatch(/loss\s+not finite/);
    await addSamples(2, ["a koala"]);
    await writeFile(path.join(folder, "samples/step-000002/prompts.json"), "{");
    await page.waitForSelector("[role=alert] >> text=step-000002/prompts.json");
  });

  it("shows the latest image until an earlier step is chosen", async () => {
    for (const step of [1, 2, 3]) await addStep(step);
    for (const step of [1, 2]) await addSamples(step, ["a koala", ""]);
    const page = await open();
    const shown = () => page.locator(".sample img").first().getAttribute("src");
    await page.waitForSelector(".sample-row:nth-of-type(3)");
    expect(await shown()).toBe("/samples/step-000002/0.png");
    await addSamples(3, ["a koala", ""]);
    await expect.poll(shown).toBe("/samples/step-000003/0.png");
    await page.locator(".strip").nth(1).locator("[aria-label='step 1']").click();
    expect(await shown()).toBe("/samples/step-000001/0.png");
    await addSamples(4, ["a koala", ""]);
    await page.waitForSelector("[aria-label='step 4']");
    expect(await shown()).toBe("/samples/step-000001/0.png");
  });

  it("says when the server has ended", async () => {
    await addStep(1);
    const page = await open();
    await page.waitForSelector(".panel");
    await server.close();
    await page.waitForSelector("text=koala watch does not answer");
    opened?.complaints.splice(0); // Chromium logs the requests that fail
  });

  it.each([
    ["a desktop, light", { ...desktop, colorScheme: "light" }],
    ["a desktop, dark", { ...desktop, colorScheme: "dark" }],
    ["a phone", phone],
    ["a desktop with forced colours", { ...desktop, forcedColors: "active" }],
  ] as const)("is accessible and not wider than the screen on %s", async (_, options) => {
    for (const step of [1, 2, 3]) await addStep(step);
    await addSamples(2, ["a koala", `a very long prompt ${"with words ".repeat(40)}`]);
    const page = await open(options);
    await page.waitForSelector(".sample img");
    await page.click("text=Options");
    await page.locator(".panel").first().press("End");
    expect(await axeViolations(page)).toEqual([]);
    expect(await overflow(page)).toBeLessThanOrEqual(0);
  });
});
