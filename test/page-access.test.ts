/** @file The page for everyone: axe-core finds nothing, in light, dark and forced colours, on a desktop, zoomed, on a phone. */

import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import type { AxeResults } from "axe-core";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { modelOrBundled } from "../src/pipeline/bundled-model.js";
import { type Serving, serveModels } from "../src/server/server.js";
import { desktop, openBrowser, phone, visit } from "./browser.js";
import { tinyModel } from "./serving.js";

let browser: Browser;
let server: Serving;
let axe: string;

beforeAll(async () => {
  [browser, server, axe] = await Promise.all([
    openBrowser(),
    serveModels({ models: [tinyModel, modelOrBundled(undefined)], port: 0, threads: 1 }),
    readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8"),
  ]);
});
afterAll(async () => {
  await browser?.close();
  await server?.close(0);
});

/** Violations in words. The policy forbids injected scripts, so it is evaluated by the debugger. */
async function violations(page: Page): Promise<string[]> {
  await page.evaluate(axe);
  const { violations, passes } = (await page.evaluate("axe.run(document)")) as AxeResults;
  expect(passes.length).toBeGreaterThan(15);
  return violations.flatMap(({ id, nodes }) =>
    nodes.map(({ html, failureSummary }) => `${id}: ${html}\n${failureSummary}`),
  );
}

const wide = async (page: Page) =>
  Number(await page.evaluate("document.documentElement.scrollWidth - window.innerWidth"));

describe.each([
  ["a desktop, light", { ...desktop, colorScheme: "light" }],
  ["a desktop, dark", { ...desktop, colorScheme: "dark" }],
  ["a phone, light", { ...phone, colorScheme: "light" }],
  ["a phone, dark", { ...phone, colorScheme: "dark" }],
  ["a desktop at 200 %", { viewport: { width: 640, height: 450 }, deviceScaleFactor: 2 }],
  ["a desktop with forced colours", { ...desktop, forcedColors: "active", colorScheme: "dark" }],
] as const)("on %s", (_, options) => {
  it("axe finds no violation and nothing is cut off, from the empty page to a grid", async () => {
    const { page, complaints, close } = await visit(browser, server.url, options);
    const found: Record<string, string[]> = {};
    const check = async (what: string) => {
      found[what] = await violations(page);
      if ((await wide(page)) > 0) found[what].push("wider than the screen");
    };
    await check("empty");
    if (await page.locator(".settings:not([open])").count()) await page.click(".settings summary");
    await page.selectOption("#model", "nano");
    if (await page.locator(".words:not([open])").count()) await page.click(".words summary");
    await page.fill("#prompt", "an umbrela and a (crown:1.2), line art");
    await page.waitForSelector("#prompt-notes .prompt-note:nth-child(2)");
    await check("words, and a prompt with notes");
    for (const name of ["a", "b", "c", "d", "e"])
      await page.setInputFiles("#read-file", { name, mimeType: "image/png", buffer: Buffer.from("none") });
    await page.click("text=2 more");
    await check("messages");
    await page.click("text=Dismiss all 5");
    await page.selectOption("#model", "koala-1b-tiny");
    await page.fill("#prompt", "");
    await page.keyboard.press("Control+Enter");
    await check("a problem");
    await page.fill("#prompt", "a red bicycle");
    await page.fill("#steps", "150");
    await page.fill("#count", "4");
    await page.keyboard.press("Control+Enter");
    await page.waitForSelector(".frame image");
    await check("generating");
    await page.keyboard.press("Escape");
    await page.waitForSelector(".generating", { state: "detached" });
    await page.fill("#steps", "1");
    await page.fill("#count", "2");
    await page.fill("#prompt", "a (red bicycle:1.2)");
    await page.keyboard.press("Control+Enter");
    await page.waitForSelector(".image .warnings");
    await check("an image with a warning");
    for (const n of [1, 2]) {
      await page.focus(`.thumb:nth-child(${n}) .open`);
      await page.click(`.thumb:nth-child(${n}) .pick`);
    }
    await page.click(".compare-bar .primary");
    await page.waitForSelector("dialog[open]");
    await check("side by side");
    await page.keyboard.press("Escape");
    await page.click("text=Begin with it");
    await page.click("text=Generate a mask");
    await page.waitForSelector("dialog canvas");
    await check("a mask");
    await page.keyboard.press("Escape");
    await page.click("nav >> text=Grid");
    await check("no grid yet");
    await page.fill("#x-values", "1, 2");
    await page.fill("#y-values", "1, 2");
    await page.click("text=Take it away");
    await page.keyboard.press("Control+Enter");
    await page.waitForSelector("text=All 4 images");
    await check("a grid");
    await close();
    expect(Object.entries(found).filter(([, list]) => list.length > 0)).toEqual([]);
    expect(complaints).toEqual([]);
  });
});
