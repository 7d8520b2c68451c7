/** @file The page's messages: none is lost, none hides the page. And what else a browser may refuse. */

import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { Job } from "../src/jobs/schemas.js";
import { type Serving, serveModels } from "../src/server/server.js";
import { desktop, openBrowser, phone, visit } from "./browser.js";
import { tinyModel } from "./serving.js";

let browser: Browser;
let server: Serving;

beforeAll(async () => {
  [browser, server] = await Promise.all([
    openBrowser(),
    serveModels({ models: [tinyModel], port: 0, threads: 1 }),
  ]);
});
afterAll(async () => {
  await browser?.close();
  await server?.close(0);
});

const nothingInside = (name: string) => ({ name, mimeType: "image/png", buffer: Buffer.from("none") });

async function generate(page: Page, prompt: string, at: number): Promise<void> {
  await page.fill("#prompt", prompt);
  await page.fill("#steps", "1");
  await page.keyboard.press("Control+Enter");
  await page.waitForSelector(`.thumb:nth-child(${at})`);
}

/** Of a job that another visit of this browser began: no page has shown its warnings. */
async function takenUp(page: Page, prompt: string): Promise<void> {
  const answer = await fetch(`${server.url}/api/jobs`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ prompt, steps: 2 }),
  });
  const { id } = (await answer.json()) as Job;
  await page.evaluate(`localStorage.setItem("koala.generating", '["${id}"]')`);
  await page.reload();
  await page.waitForSelector(".thumb");
}

const inWindow = async (page: Page, selector: string) => {
  const box = (await page.locator(selector).last().boundingBox())!;
  const { width, height } = page.viewportSize()!;
  return box.y >= 0 && box.y + box.height <= height && box.x >= 0 && box.x + box.width <= width;
};

it.each([
  ["a desktop", desktop],
  ["a phone", phone],
] as const)("twelve errors on %s stand together until they are dismissed", async (_, options) => {
  const { page, complaints, close } = await visit(browser, server.url, options);
  await page.clock.install();
  for (let i = 0; i < 12; i++) await page.setInputFiles("#read-file", nothingInside(`file-${i}.png`));
  await page.waitForSelector("text=file-11.png is no PNG, JPEG or WebP file");
  expect(await page.locator(".message").count()).toBe(3);
  await page.click("text=9 more");
  const texts = await page.locator(".message p").allInnerTexts();
  expect(texts.map((text) => text.split(" ")[0])).toEqual(
    Array.from({ length: 12 }, (_, i) => `file-${i}.png`),
  );
  expect(await inWindow(page, ".messages-bar")).toBe(true);
  expect(await inWindow(page, ".messages-list")).toBe(true);
  await page.locator(".message [aria-label=Dismiss]").nth(5).click();
  await page.clock.fastForward("10:00");
  expect(await page.locator(".message").count()).toBe(11);
  await page.setInputFiles("#read-file", nothingInside("file-0.png"));
  await page.waitForSelector("text=/file-0.png is no .* \\(2 times\\)/");
  await page.click("text=Dismiss all 11");
  expect(await page.locator(".message").count()).toBe(0);
  await close();
  expect(complaints).toEqual([]);
});

it("a note goes by itself, but not while it is pointed at", async () => {
  const { page, close } = await visit(browser, server.url);
  await generate(page, "a cat", 1);
  await page.waitForSelector(".image");
  await page.clock.install();
  await page.click("text=Begin with it");
  await page.hover(".message");
  await page.clock.fastForward("00:09");
  expect(await page.locator(".message").count()).toBe(1);
  await page.hover("h1");
  await page.clock.fastForward("00:03");
  await page.waitForSelector(".message", { state: "detached" });
  await close();
});

it("a warning that fills pages scrolls, in its message and beside its image", async () => {
  const { page, complaints, close } = await visit(browser, server.url, phone);
  await takenUp(page, "a cat on a mat, ".repeat(1200));
  await page.waitForSelector(".message.warning .long");
  expect(await inWindow(page, ".message.warning")).toBe(true);
  expect(await inWindow(page, ".message [aria-label=Dismiss]")).toBe(true);
  const scrolls = "const { scrollHeight, clientHeight } = document.querySelector('.message .long');";
  expect(await page.evaluate(`${scrolls} scrollHeight > 5 * clientHeight`)).toBe(true);
  await page.click(".message [aria-label=Dismiss]");
  expect(await page.locator(".image .warnings .long").innerText()).toContain("this was cut off");
  expect(Number(await page.evaluate("document.body.scrollHeight"))).toBeLessThan(3000);
  await close();
  expect(complaints).toEqual([]);
});

it("many warnings of one image are one message, which shows the image", async () => {
  const { page, complaints, close } = await visit(browser, server.url);
  await takenUp(page, "(a:1.1) {b|c} [d:e:0.5] --ar 3:2 embedding:x");
  await generate(page, "a cat", 2);
  await page.click(".thumb:nth-child(1) .open");
  expect(await page.locator(".image .warnings").count()).toBe(0);
  const message = page.locator(".message.warning");
  expect(await message.locator("p").innerText()).toMatch(/^4 warnings about "\(a:1\.1\) \{b/);
  await message.locator("text=Show the image").click();
  await page.waitForSelector(".image .warnings li:nth-child(4)");
  await close();
  expect(complaints).toEqual([]);
});

it("thumbnails that are chosen keep their size", async () => {
  const { page, close } = await visit(browser, server.url);
  for (const n of [1, 2]) await generate(page, "a cat", n);
  const sizes = () =>
    page.locator(".thumb").evaluateAll((all) => all.map((one) => one.getBoundingClientRect()));
  const size = async (n: number) => (await sizes())[n]!;
  const before = await size(1);
  await page.focus(".thumb:nth-child(2) .open");
  await page.click(".thumb:nth-child(2) .pick");
  await page.waitForSelector(".thumb.picked");
  const after = await size(1);
  expect([after.width, after.height]).toEqual([before.width, before.height]);
  expect((await page.locator(".thumb.picked img").boundingBox())!.width).toBe(before.width);
  await close();
});

it.each(["no", "a failure"])(
  "the browser is asked once to keep the images, and %s is taken quietly",
  async (kind) => {
    const { page, complaints, close } = await visit(browser, server.url);
    const answer = kind === "no" ? "Promise.resolve(false)" : "Promise.reject(new Error('never'))";
    await page.addInitScript(`
    asked = 0;
    navigator.storage.persisted = () => Promise.resolve(false);
    navigator.storage.persist = () => { asked++; return ${answer}; };
  `);
    await page.reload();
    await page.waitForSelector("form");
    expect(await page.evaluate("asked")).toBe(0);
    for (const n of [1, 2]) await generate(page, "a cat", n);
    expect(await page.evaluate("asked")).toBe(1);
    expect(await page.locator(".message").count()).toBe(0);
    await close();
    expect(complaints).toEqual([]);
  },
);

it("a grid says that it begins with an image, and can begin without", async () => {
  const { page, complaints, close } = await visit(browser, server.url);
  await generate(page, "a cat", 1);
  await page.waitForSelector(".image");
  await page.click("text=Begin with it");
  await page.waitForSelector(".chosen");
  await page.click("nav >> text=Grid");
  await page.fill("#steps", "2");
  await page.fill("#x-values", "1, 2");
  await page.selectOption("#y-kind", "none");
  expect(await page.locator(".begins-with").innerText()).toContain(
    "begins with the chosen image, at strength 0.6.",
  );
  await page.keyboard.press("Control+Enter");
  await page.waitForSelector("text=All 2 images");
  expect(await page.locator(".grid-head .quiet").innerText()).toContain(
    "beginning with an image at strength 0.6",
  );
  await page.click("text=Begin without");
  expect(await page.locator(".begins-with, .chosen").count()).toBe(0);
  await page.focus("#prompt");
  await page.keyboard.press("Control+Enter");
  await page.waitForSelector("text=All 2 images");
  expect(await page.locator(".grid-head .quiet").innerText()).not.toContain("beginning");
  await close();
  expect(complaints).toEqual([]);
});
