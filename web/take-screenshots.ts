/**
 * @file Takes the documentation's screenshots after a build: `npx tsx web/take-screenshots.ts [RUN]`, that of
 * `koala watch` only with the folder of a training run.
 */

import { writeFile } from "node:fs/promises";
import type { Browser, Page } from "playwright-core";
import sharp from "sharp";
import { modelOrBundled } from "../src/hub/bundled-models.js";
import { serveMonitor } from "../src/monitor/server.js";
import { serve } from "../src/server/serve.js";
import { openBrowser } from "../test/browser.js";

const prompts = [
  "a sunflower, glossy icon, on a blue background",
  "a penguin, flat icon",
  "a red apple, flat icon",
  "a koala, 3d render, on a blue background",
];
const maxBytes = 300_000;

const [run] = process.argv.slice(2);
const browser = await openBrowser();
try {
  await takePage(browser);
  if (run !== undefined) await takeMonitor(browser, run);
} finally {
  await browser.close();
}

async function takePage(browser: Browser): Promise<void> {
  const server = await serve({ models: [modelOrBundled(undefined)], port: 0 });
  const page = await open(browser, server.url, 880);
  for (const [i, prompt] of prompts.entries()) {
    await page.fill("#prompt", prompt);
    await page.keyboard.press("Control+Enter");
    await page.waitForSelector(`.thumb:nth-child(${i + 1})`);
    await page.waitForSelector(".generating", { state: "detached" });
  }
  await page.evaluate(
    "document.activeElement.blur(); scrollTo(0, 0); document.querySelector('.side').scrollTo(0, 0)",
  );
  await save(page, "page");
  await server.close({ graceSeconds: 0 });
}

async function takeMonitor(browser: Browser, folder: string): Promise<void> {
  const server = await serveMonitor(folder, { port: 0 });
  const page = await open(browser, server.url, 1000);
  await page.waitForSelector(".sample img");
  await save(page, "monitor");
  await page.close();
  await server.close();
}

async function open(browser: Browser, url: string, height: number): Promise<Page> {
  const page = await browser.newPage({ viewport: { width: 1280, height }, colorScheme: "light" });
  page.setDefaultTimeout(600_000);
  await page.goto(url);
  return page;
}

async function save(page: Page, name: string): Promise<void> {
  await page.waitForTimeout(500);
  const file = new URL(`../docs/images/${name}.png`, import.meta.url);
  await writeFile(file, await reduced(await page.screenshot()));
}

/** In as many colours as fit into the limit. */
async function reduced(png: Buffer): Promise<Buffer> {
  for (const colours of [256, 128, 64, 32]) {
    const smaller = await sharp(png).png({ palette: true, colours, effort: 10 }).toBuffer();
    if (smaller.length < maxBytes) return smaller;
  }
  throw new Error(`take-screenshots: must be below ${maxBytes} bytes, got more with 32 colours.`);
}
