/**
 * @file Takes the documentation's images of the page: `npx tsx web/take-images.ts`, after a build, with the model
 * inside, or `npx tsx web/take-images.ts MODEL`. Needs Debian's Chromium.
 */

import { writeFile } from "node:fs/promises";
import { type BrowserContextOptions, chromium, type Page } from "playwright-core";
import sharp from "sharp";
import { modelOrBundled } from "../src/pipeline/bundled-model.js";
import { serve } from "../src/server/serve.js";

const prompts = [
  "a sunflower, glossy icon, on a blue background",
  "a penguin, flat icon",
  "a red apple, flat icon",
  "a koala, line art",
];

const phone = { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true };
const views: readonly (readonly [name: string, options: BrowserContextOptions])[] = [
  ["page-desktop", { viewport: { width: 1280, height: 860 }, colorScheme: "light" }],
  ["page-phone", { ...phone, colorScheme: "dark" }],
];

const [model] = process.argv.slice(2);
const server = await serve({ models: [modelOrBundled(model)], port: 0 });
const browser = await chromium.launch({
  executablePath: "/usr/bin/chromium",
  args: ["--headless", "--no-sandbox", "--disable-gpu"],
});
try {
  for (const [name, options] of views) await take(name, options);
} finally {
  await browser.close();
  await server.close({ graceSeconds: 0 });
}

async function take(name: string, options: BrowserContextOptions): Promise<void> {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  page.setDefaultTimeout(600_000);
  await page.goto(server.url);
  for (const [i, prompt] of prompts.entries()) await generate(page, prompt, 2 * i);
  await page.evaluate(
    "document.activeElement.blur(); scrollTo(0, 0); document.querySelector('.side').scrollTo(0, 0)",
  );
  await page.waitForTimeout(500);
  const file = new URL(`../docs/images/${name}.png`, import.meta.url);
  await writeFile(file, await small(await page.screenshot()));
  await context.close();
}

/** Generates two of a prompt. */
async function generate(page: Page, prompt: string, before: number): Promise<void> {
  await page.fill("#prompt", prompt);
  if (before === 0) {
    if (await page.locator(".settings:not([open])").count()) await page.click(".settings summary");
    await page.fill("#count", "2");
    if (await page.locator(".settings[open]").count()) await page.click(".settings summary");
    if ((page.viewportSize()?.width ?? 0) > 960) await page.click(".settings summary");
  }
  await page.keyboard.press("Control+Enter");
  await page.waitForSelector(`.thumb:nth-child(${before + 2})`);
  await page.waitForSelector(".generating", { state: "detached" });
}

/** Below 300 kB, as it lies in the repository. */
async function small(png: Buffer): Promise<Buffer> {
  for (const colours of [256, 128, 64, 32]) {
    const reduced = await sharp(png).png({ palette: true, colours, effort: 10 }).toBuffer();
    if (reduced.length < 300_000) return reduced;
  }
  const { width } = await sharp(png).metadata();
  return small(
    await sharp(png)
      .resize(Math.round(width * 0.8))
      .png()
      .toBuffer(),
  );
}
