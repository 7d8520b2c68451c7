/** @file Tests of the page with more jobs than a browser has connections, in one tab and in several. */

import type { Page } from "playwright-core";
import { describe, expect, it } from "vitest";
import type { JobList } from "../src/jobs/schemas.js";
import { setUpPage } from "./page-setup.js";

const site = setUpPage({ limits: { steps: 900 } });

const jobs = async () => (await site.api<JobList>("/api/jobs")).jobs;
const unfinished = async () =>
  (await jobs()).filter(({ state }) => state === "queued" || state === "running").length;

async function press(page: Page, times: number, prompt: string, steps: number): Promise<void> {
  await page.fill("#prompt", prompt);
  await page.fill("#steps", String(steps));
  for (let i = 0; i < times; i++) await page.keyboard.press("Control+Enter");
}

async function anotherTab(page: Page): Promise<Page> {
  const other = await page.context().newPage();
  await other.goto(site.server.url);
  await other.waitForSelector("form");
  return other;
}

describe("nine jobs", () => {
  it("are sent, followed and kept in each of two tabs, over one stream each", async () => {
    const page = await site.open();
    let streams = 0;
    page.on("request", (request) => void (streams += request.url().includes("/api/events") ? 1 : 0));
    page.on("requestfailed", (request) => void (streams -= request.url().includes("/api/events") ? 1 : 0));
    page.on("requestfinished", (request) => void (streams -= request.url().includes("/api/events") ? 1 : 0));
    await press(page, 9, "a cat", 100);
    await page.waitForSelector("text=Cancel all 9");
    await expect.poll(() => streams).toBe(1);
    const other = await anotherTab(page);
    await press(other, 9, "a dog", 3);
    // The first of these may be done before the last is sent, and the other tab shows what was kept before it was opened.
    for (const [tab, prompt] of [
      [page, "a cat"],
      [other, "a dog"],
    ] as const) {
      const own = tab.locator(`.thumb [aria-label^="${prompt}, seed"]`);
      await expect.poll(() => own.count()).toBe(9);
      await tab.waitForSelector(".generating", { state: "detached" });
    }
    await expect.poll(unfinished).toBe(0);
  });

  it("are cancelled together, without those of another tab", async () => {
    const page = await site.open();
    await press(page, 9, "a cat", 900);
    await page.waitForSelector("text=Cancel all 9");
    const other = await anotherTab(page);
    await press(other, 1, "a dog", 3);
    await other.waitForSelector(".generating");
    await expect.poll(unfinished).toBe(10);
    await page.click("text=Cancel all 9");
    await other.waitForSelector(".thumb");
    await page.waitForSelector(".generating", { state: "detached" });
    expect(await other.locator(".thumb").count()).toBe(1);
    await expect.poll(unfinished).toBe(0);
  });

  it("are listed with those of other clients, survive a reload, and are cancelled one by one", async () => {
    const page = await site.open();
    const body = JSON.stringify({ prompt: "a fox", steps: 900, width: 8, height: 8 });
    const headers = { "content-type": "application/json" };
    await press(page, 1, "a cat", 900);
    await page.waitForSelector(".generating .progress >> text=Step");
    await site.api("/api/jobs", { method: "POST", headers, body });
    await press(page, 3, "a dog", 899);
    const rows = async () => {
      const texts = await page.locator(".queue li").allInnerTexts();
      return texts.map((text) =>
        text
          .replace(/\s+/g, " ")
          .replace(/Step.*/, "Step")
          .trim(),
      );
    };
    const queued = (numbers: number[]) => numbers.map((n) => `a dog Number ${n} in the queue`);
    const fox = "a fox Elsewhere · Next in the queue";
    await expect.poll(rows).toEqual(["a cat Step", fox, ...queued([2, 3, 4])]);
    await page.reload();
    await expect.poll(rows).toEqual(["a cat Step", fox, ...queued([2, 3, 4])]);
    await page.click("[aria-label='Cancel: a fox']");
    await page.click(".queue li:nth-child(4) button");
    await expect.poll(rows).toEqual(["a cat Step", "a dog Next in the queue", ...queued([2])]);
    await page.click("text=Cancel the 2 that wait");
    await page.waitForSelector(".queue", { state: "detached" });
    expect(await unfinished()).toBe(1);
    await page.keyboard.press("Escape");
    await expect.poll(unfinished).toBe(0);
  });

  it("in each of eight hidden tabs leave a connection for a ninth, since hidden tabs poll", async () => {
    const page = await site.open();
    const context = page.context();
    await context.addInitScript(
      'Object.defineProperty(document, "hidden", { get: () => globalThis.tabHidden === true })',
    );
    const tabs: Page[] = [];
    for (let i = 0; i < 8; i++) {
      const tab = await anotherTab(page);
      await press(tab, 2, `tab ${i}`, 900);
      await tab.waitForSelector(".generating >> text=Cancel all 2");
      await tab.evaluate('tabHidden = true; document.dispatchEvent(new Event("visibilitychange"))');
      tabs.push(tab);
    }
    const ninth = await anotherTab(page);
    for (const { id } of await jobs()) await fetch(`${site.server.url}/api/jobs/${id}`, { method: "DELETE" });
    for (const tab of tabs) await tab.waitForSelector(".generating", { state: "detached" });
    await press(ninth, 1, "a dog", 2);
    await ninth.waitForSelector(".thumb");
  });

  it("of a closed tab are followed by the next one", async () => {
    const page = await site.open();
    const other = await anotherTab(page);
    await press(page, 9, "a cat", 900);
    const stored = () => page.evaluate('JSON.parse(localStorage.getItem("koala.generating") ?? "[]").length');
    await expect.poll(stored).toBe(9);
    await page.close();
    await other.reload();
    await other.click("text=Cancel all 9");
    await other.waitForSelector(".generating", { state: "detached" });
    await expect.poll(unfinished).toBe(0);
  });
});
