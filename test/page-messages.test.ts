/** @file Tests of the page's messages in Chromium, and of a browser that does not persist the gallery. */

import type { Page } from "playwright-core";
import { describe, expect, it } from "vitest";
import type { Job } from "../src/jobs/schemas.js";
import { desktop, phone } from "./browser.js";
import { setUpPage } from "./page-setup.js";

const site = setUpPage();

const nothingInside = (name: string) => ({ name, mimeType: "image/png", buffer: Buffer.from("none") });

async function generateNth(page: Page, prompt: string, at: number): Promise<void> {
  await page.fill("#prompt", prompt);
  await page.fill("#steps", "1");
  await page.keyboard.press("Control+Enter");
  await page.waitForSelector(`.thumb:nth-child(${at})`);
}

/** Resumes a job of an earlier visit, whose warnings no page has shown. */
async function resume(page: Page, prompt: string, fields: object = {}): Promise<void> {
  const answer = await fetch(`${site.server.url}/api/jobs`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ prompt, steps: 2, ...fields }),
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

describe("messages", () => {
  it.each([
    ["a desktop", desktop],
    ["a phone", phone],
  ] as const)("stay on %s until they are dismissed, also twelve errors", async (_, options) => {
    const page = await site.open(options);
    await page.clock.install();
    for (let i = 0; i < 12; i++) await page.setInputFiles("#read-file", nothingInside(`file-${i}.png`));
    await page.waitForSelector("text=file-11.png is not a PNG, JPEG or WebP file");
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
    await page.waitForSelector("text=/file-0.png is not a .* \\(2 times\\)/");
    await page.click("text=Dismiss all 11");
    expect(await page.locator(".message").count()).toBe(0);
  });

  it("disappear by themselves if they are notes, but not under the pointer", async () => {
    const page = await site.open();
    await generateNth(page, "a cat", 1);
    await page.waitForSelector(".image");
    await page.clock.install();
    await page.click("text=Start from this image");
    await page.hover(".message");
    await page.clock.fastForward("00:09");
    expect(await page.locator(".message").count()).toBe(1);
    await page.hover("h1");
    await page.clock.fastForward("00:03");
    await page.waitForSelector(".message", { state: "detached" });
  });

  it("scroll if they are long, and so do the warnings beside the image", async () => {
    const page = await site.open(phone);
    await resume(page, "a cat on a mat, ".repeat(1200), { longPrompts: "cut" });
    await page.waitForSelector(".message.warning .long");
    expect(await inWindow(page, ".message.warning")).toBe(true);
    expect(await inWindow(page, ".message [aria-label=Dismiss]")).toBe(true);
    const scrolls = "const { scrollHeight, clientHeight } = document.querySelector('.message .long');";
    expect(await page.evaluate(`${scrolls} scrollHeight > 5 * clientHeight`)).toBe(true);
    await page.click(".message [aria-label=Dismiss]");
    expect(await page.locator(".image .warnings .long").innerText()).toContain("this was cut off");
    expect(Number(await page.evaluate("document.body.scrollHeight"))).toBeLessThan(3000);
  });

  it("combine the warnings of one image, with a button that shows the image", async () => {
    const page = await site.open();
    await resume(page, "(a:1.1) {b|c} [d:e:0.5] --ar 3:2 embedding:x");
    await generateNth(page, "a cat", 2);
    await page.click(".thumb:nth-child(1) .open");
    expect(await page.locator(".image .warnings").count()).toBe(0);
    const message = page.locator(".message.warning");
    expect(await message.locator("p").innerText()).toMatch(/^4 warnings about "\(a:1\.1\) \{b/);
    await message.locator("text=Show the image").click();
    await page.waitForSelector(".image .warnings li:nth-child(4)");
  });
});

describe("thumbnails", () => {
  it("keep their size when they are selected", async () => {
    const page = await site.open();
    for (const n of [1, 2]) await generateNth(page, "a cat", n);
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
  });
});

describe("the gallery", () => {
  it.each(["a refusal", "a failure"])(
    "asks the browser once to persist its images, and accepts %s without a message",
    async (kind) => {
      const page = await site.open();
      const answer = kind === "a refusal" ? "Promise.resolve(false)" : "Promise.reject(new Error('never'))";
      await page.addInitScript(`
    requests = 0;
    navigator.storage.persisted = () => Promise.resolve(false);
    navigator.storage.persist = () => { requests++; return ${answer}; };
  `);
      await page.reload();
      await page.waitForSelector("form");
      expect(await page.evaluate("requests")).toBe(0);
      for (const n of [1, 2]) await generateNth(page, "a cat", n);
      expect(await page.evaluate("requests")).toBe(1);
      expect(await page.locator(".message").count()).toBe(0);
    },
  );
});
