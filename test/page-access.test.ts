/** @file Accessibility tests of the page with axe-core, in light, dark and forced colours, on desktop, zoomed and phone. */

import type { Page } from "playwright-core";
import { describe, expect, it } from "vitest";
import { modelOrBundled } from "../src/hub/bundled-models.js";
import { axeViolations, overflow } from "./accessibility.js";
import { desktop, phone } from "./browser.js";
import { generate, setUpPage } from "./page-setup.js";
import { goldenModel } from "./serving.js";

const site = setUpPage({ models: [goldenModel, modelOrBundled(undefined)] });

/** Opens a `<details>` if it is closed. */
async function unfold(page: Page, selector: string): Promise<void> {
  if (await page.locator(`${selector}:not([open])`).count()) await page.click(`${selector} summary`);
}

/** The views of the page, in an order in which each is reached from the one before. */
const views: readonly (readonly [view: string, reach: (page: Page) => Promise<unknown>])[] = [
  ["first visit", (page) => page.waitForSelector(".empty")],
  [
    "vocabulary, and a prompt with notes",
    async (page) => {
      await unfold(page, ".settings");
      await page.selectOption("#model", "nano");
      await unfold(page, ".vocabulary");
      await page.fill("#prompt", "an umbrela and a (crown:1.2), line art --tile");
      await page.waitForSelector("#prompt-notes .prompt-note:nth-child(2)");
    },
  ],
  [
    "messages",
    async (page) => {
      for (const name of ["a", "b", "c", "d", "e"])
        await page.setInputFiles("#read-file", { name, mimeType: "image/png", buffer: Buffer.from("none") });
      await page.click("text=2 more");
    },
  ],
  [
    "a problem",
    async (page) => {
      await page.click("text=Dismiss all 5");
      await page.selectOption("#model", "koala-1b-tiny");
      await page.fill("#prompt", "");
      await page.keyboard.press("Control+Enter");
    },
  ],
  [
    "a running generation",
    async (page) => {
      await generate(page, "a red bicycle", { steps: "150", count: "4" });
      await page.waitForSelector(".frame image");
    },
  ],
  [
    "an image with a warning",
    async (page) => {
      await page.keyboard.press("Escape");
      await page.waitForSelector(".generating", { state: "detached" });
      await generate(page, "a (red bicycle:1.2) --tile", { steps: "1", count: "2" });
      await page.waitForSelector(".image .warnings");
    },
  ],
  [
    "full view",
    async (page) => {
      await page.click(".enlarge");
      await page.keyboard.press("+");
      await page.waitForSelector("dialog[open] .zoomed");
    },
  ],
  [
    "comparison",
    async (page) => {
      await page.keyboard.press("Escape");
      await page.waitForSelector("dialog", { state: "detached" });
      for (const n of [1, 2]) await page.check(`.thumb:nth-child(${n}) input`);
      await page.click(".chosen-bar >> text=Compare");
      await page.waitForSelector("dialog[open]");
    },
  ],
  [
    "mask editor",
    async (page) => {
      await page.keyboard.press("Escape");
      await page.click("text=Start from this image");
      await page.click("text=Draw a mask");
      await page.waitForSelector("dialog canvas");
    },
  ],
  [
    "empty grid view",
    async (page) => {
      await page.keyboard.press("Escape");
      await page.click("nav >> text=Grid");
    },
  ],
  [
    "a grid",
    async (page) => {
      await page.fill("#x-values", "1, 2");
      await page.fill("#y-values", "1, 2");
      await page.click(".init-image >> text=Remove the image");
      await page.keyboard.press("Control+Enter");
      await page.waitForSelector("text=All 4 images");
    },
  ],
  [
    "a grid with its averages",
    async (page) => {
      await page.click("text=Averages");
      await page.waitForSelector(".mean canvas");
    },
  ],
  ["the tour before it begins", (page) => page.click("nav >> text=Tour")],
  [
    "the tour, with a word chosen",
    async (page) => {
      await page.click("text=Start the tour");
      await page.waitForSelector("#tour-5");
      await page.locator(".word-heat .words button").nth(1).focus();
    },
  ],
];

/** Screens, and the colours in which every view is checked there; the rules that look at no colour, in the first alone. */
describe.each([
  ["a desktop", desktop, ["light", "dark", "forced"]],
  ["a phone", phone, ["light", "dark"]],
  ["a desktop at 200 %", { viewport: { width: 640, height: 450 }, deviceScaleFactor: 2 }, ["light"]],
] as const)("on %s", (_, screen, colors) => {
  it("axe finds no violation in any view, and no view is wider than the screen", {
    timeout: 600_000,
  }, async () => {
    const page = await site.open(screen);
    const found: string[] = [];
    for (const [view, reach] of views) {
      await reach(page);
      for (const color of colors) {
        const forced = color === "forced";
        await page.emulateMedia({
          colorScheme: forced ? "dark" : color,
          forcedColors: forced ? "active" : "none",
        });
        const violations = await axeViolations(page, { colorsOnly: color !== "light" });
        found.push(...violations.map((violation) => `${view}, ${color}: ${violation}`));
      }
      if ((await overflow(page)) > 0) found.push(`${view}: wider than the screen`);
    }
    expect(found).toEqual([]);
  });
});
