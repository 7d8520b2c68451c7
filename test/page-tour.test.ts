/** @file Tests of the page's tour with the bundled model, in Chromium, on desktop and phone. */

import type { Page } from "playwright-core";
import { describe, expect, it } from "vitest";
import { modelOrBundled } from "../src/hub/bundled-models.js";
import type { Job, StepPredictions, WordMaps } from "../src/jobs/schemas.js";
import { axeViolations, overflow } from "./accessibility.js";
import { desktop, phone } from "./browser.js";
import { setUpPage, textOf } from "./page-setup.js";

const site = setUpPage({ models: [modelOrBundled(undefined)] });

async function toured(page: Page): Promise<void> {
  await page.click("nav >> text=Tour");
  await page.click("text=Start the tour");
  await page.waitForSelector("#tour-5");
}

/** Pixels of all images, 0 for one that did not load. */
const widths = (page: Page) =>
  page.evaluate("[...document.querySelectorAll('.tour figure img')].map((image) => image.naturalWidth)");

describe("the tour", () => {
  it("shows tokens, noise, predictions, guidance and attention of the jobs that it ran", async () => {
    const page = await site.open(desktop);
    await toured(page);
    const { id, settings } = await site.lastJob();
    expect(settings).toMatchObject({ attentionMaps: true, explainSteps: true, count: 1 });
    const other = (await site.api<{ jobs: Job[] }>("/api/jobs")).jobs.at(-1)!;
    expect([settings.seed, other.settings.seed].sort()).toEqual(["7", "8"]);
    const first = settings.seed === "7" ? id : other.id;
    const of = <T>(what: string) => site.api<T>(`/api/jobs/${first}/images/0/${what}`);
    const [maps, predictions] = [await of<WordMaps>("attention"), await of<StepPredictions>("steps")];
    const words = await page.locator(".tour-tokens strong").allInnerTexts();
    expect(words).toEqual(maps.words.map(({ word }) => word));
    const { noise, steps } = predictions;
    expect(await textOf(page, ".pairs figure:nth-child(1) figcaption")).toContain(
      `seed 7, seen through the decoder. Its numbers have a mean of ${noise.mean.toFixed(3)} and a standard ` +
        `deviation of ${noise.deviation.toFixed(3)}.`,
    );
    expect(steps).toHaveLength(settings.steps);
    expect(await page.locator(".steps figure").count()).toBe(settings.steps);
    await expect
      .poll(() => textOf(page, ".steps figure:last-child"))
      .toContain("differs from the one before");
    const shown = () => page.getAttribute(".guidance figure:nth-child(4) img", "src");
    expect(await shown()).toBe(steps[0]!.guided);
    await page.focus("#tour-step");
    await page.keyboard.press("ArrowRight");
    await expect.poll(shown).toBe(steps[1]!.guided);
    expect(await textOf(page, ".guidance figure:nth-child(3)")).toContain(
      `${(100 * steps[1]!.difference!).toFixed(1)} %`,
    );
    expect(await widths(page)).toEqual(Array(4 + settings.steps + 3).fill(128));
    await page.locator(".word-heat .words button").nth(1).hover();
    await expect.poll(() => textOf(page, ".word-heat [role=status]")).toContain(`"${words[1]}" got `);
    const canvas = "document.querySelector('.word-heat canvas')";
    const box = `${canvas}.getBoundingClientRect()`;
    const middle = `(({ x, y, width, height }) => document.elementFromPoint(x + width / 2, y + height / 2))(${box})`;
    await page.locator(".word-heat canvas").scrollIntoViewIfNeeded();
    expect(await page.evaluate(`${middle} === ${canvas}`)).toBe(true); // the heat is above the image
    expect(await axeViolations(page)).toEqual([]);
  });

  it("is whole on a phone, and says what the server refuses", async () => {
    const page = await site.open(phone);
    await toured(page);
    expect(await overflow(page)).toBe(0);
    expect(await axeViolations(page)).toEqual([]);
    await page.fill("#tour-prompt", "koala ".repeat(4000));
    await page.click("text=Run it again");
    await page.waitForSelector(".tour [role=alert]");
    expect(await textOf(page, ".tour [role=alert]")).toContain("prompt: must be at most");
    expect(site.complaints.splice(0)).toEqual(Array(2).fill(expect.stringContaining("422")));
  });
});
