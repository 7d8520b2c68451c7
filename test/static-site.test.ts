/** @file The static site in Chromium: images with nothing but a host of files, by threads and without, offline, in two tabs. */

import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import type { Browser, BrowserContext, BrowserContextOptions, Page, Route } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { decodeImage } from "../src/image/codec.js";
import { DiffusionPipeline, readRequest } from "../src/index.js";
import { axeViolations, overflow } from "./accessibility.js";
import { desktop, openBrowser, phone } from "./browser.js";
import { type FileServer, serveFiles } from "./file-server.js";
import { filesIn, type HubServer, startHub } from "./hub-server.js";
import { psnr } from "./psnr.js";

const site = await mkdtemp(path.join(tmpdir(), "koala-site-"));
const root = path.resolve(".");
const koala = filesIn(path.join(root, "golden/data/pipelines/koala-700m-tiny"));
let browser: Browser;
let host: FileServer;
let hub: HubServer;
let contexts: BrowserContext[] = [];
/** Errors of pages, of their workers and of the policy; must stay empty. */
const complaints: string[] = [];

beforeAll(async () => {
  await promisify(execFile)("npx", ["tsx", "web/build-site.ts", site], { cwd: root });
  const commit = "0".repeat(40);
  hub = await startHub({ "someone/koala": { commits: { [commit]: koala }, refs: { main: commit } } });
  [browser, host] = await Promise.all([openBrowser(), serveFiles({ "": site })]);
}, 240_000);
afterEach(async () => {
  await Promise.all(contexts.map((context) => context.close()));
  contexts = [];
  expect(complaints.splice(0)).toEqual([]);
});
afterAll(async () => {
  await browser?.close();
  host?.close();
  await hub?.close();
  await rm(site, { recursive: true });
});

async function visitor(options: BrowserContextOptions = desktop): Promise<BrowserContext> {
  const context = await browser.newContext({ reducedMotion: "reduce", ...options });
  contexts.push(context);
  return context;
}

async function open(context: BrowserContext, url = host.url): Promise<Page> {
  const page = await context.newPage();
  page.setDefaultTimeout(60_000);
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
  await page.goto(url);
  await page.waitForSelector("form");
  return page;
}

async function start(page: Page, prompt: string, settings: Record<string, string> = {}): Promise<void> {
  await page.fill("#prompt", prompt);
  for (const [id, value] of Object.entries({ steps: "4", ...settings })) await page.fill(`#${id}`, value);
  await page.keyboard.press("Control+Enter");
}

/** The file of the image in the large view. */
async function imageOf(page: Page): Promise<Uint8Array> {
  await page.waitForSelector(".image .large");
  const download = page.waitForEvent("download");
  await page.click(".image button >> text=Download");
  return readFile(await (await download).path());
}

const isolated = (page: Page) => page.evaluate("crossOriginIsolated");

describe("the static site", { timeout: 120_000 }, () => {
  it("generates Node's image on a host that sends no headers, with threads, and the PNG says how", async () => {
    const page = await open(await visitor());
    expect(await isolated(page)).toBe(true);
    await start(page, "a red apple, flat icon", { seed: "7" });
    const png = await imageOf(page);
    const file = path.join(site, "image.png");
    await writeFile(file, png);
    const { request } = await readRequest(file);
    await using pipeline = await DiffusionPipeline.fromPretrained(path.join(root, "models/nano"));
    const { images } = await pipeline.generate(request);
    expect(request).toMatchObject({ prompt: "a red apple, flat icon", seed: 7n, numInferenceSteps: 4 });
    expect(psnr(images[0]!.data, (await decodeImage(png)).image.data)).toBeGreaterThan(60);
  });

  it("generates without a network on the second visit", async () => {
    const context = await visitor();
    const first = await open(context);
    // Kept in the background once the page is shown.
    const kept = async () => {
      const keys =
        "caches.open('koala-site').then((c) => c.keys()).then((all) => all.map(({ url }) => url).join())";
      return String(await first.evaluate(keys));
    };
    for (const file of ["nano/unet/diff", "threaded.jspi.wasm", "nano-lightning/words.json"])
      await expect.poll(kept, { timeout: 60_000 }).toContain(file);
    await first.close();
    await context.setOffline(true);
    const asked = host.asked.length;
    const page = await open(context);
    await start(page, "a penguin, flat icon");
    await page.waitForSelector(".image .large");
    // The browser looks for a new one past what keeps a page off the network.
    expect(host.asked.slice(asked).filter(({ path }) => path !== "/service-worker.js")).toEqual([]);
  });

  it("is told that another tab generates, and goes on when that one has ended", async () => {
    const context = await visitor();
    const [one, other] = [await open(context), await open(context)];
    await start(one, "a red apple, flat icon", { steps: "150" });
    await one.waitForSelector("text=/Step \\d+ of 150/");
    await start(other, "a penguin, flat icon");
    await other.waitForSelector("text=Another tab generates. Waiting for it…");
    await one.close();
    await other.waitForSelector(".image .large");
  });

  it("goes on in a hidden tab, where timers are held back and no frame is drawn", async () => {
    const page = await open(await visitor());
    await start(page, "a red apple, flat icon", { steps: "60" });
    await page.waitForSelector("text=/Step \\d+ of 60/");
    // Headless Chromium has no hidden pages: this is what it does to those of a window.
    await page.evaluate(`{
      Object.defineProperty(document, "hidden", { value: true });
      Object.defineProperty(document, "visibilityState", { value: "hidden" });
      const timer = setTimeout;
      globalThis.setTimeout = (callback, ms = 0, ...of) => timer(callback, Math.max(1000, ms), ...of);
      globalThis.requestAnimationFrame = () => 0;
      document.dispatchEvent(new Event("visibilitychange"));
    }`);
    await page.locator(".image .large").waitFor({ state: "attached" });
  });

  it("stops at the end of the running call, and goes on in a new worker after one has crashed", async () => {
    const page = await open(await visitor());
    await start(page, "a red apple, flat icon", { steps: "150" });
    await page.waitForSelector("text=/Step \\d+ of 150/");
    await page.keyboard.press("Escape");
    await page.waitForSelector("text=Stopped.");
    await start(page, "a red apple, flat icon", { steps: "150" });
    await page.waitForSelector("text=/Step \\d+ of 150/");
    await page.workers()[0]!.evaluate("void setTimeout(() => { throw new Error('no memory') })");
    await page.waitForSelector("text=/The worker of this tab has ended.*no memory.*Generate again/");
    await start(page, "a penguin, flat icon");
    await page.waitForSelector(".image .large");
    complaints.splice(0);
  });

  it("shows the tour, and axe finds nothing, on a phone", { timeout: 240_000 }, async () => {
    const page = await open(await visitor(phone));
    await page.click("summary >> text=Settings");
    await page.selectOption("#model", "nano-lightning"); // few steps
    await page.click("nav >> text=Tour");
    await page.click("text=Start the tour");
    await page.waitForSelector("#tour-5");
    expect(await axeViolations(page)).toEqual([]);
    await page.click("nav >> text=Generate");
    await page.fill("#prompt", "a koala, line art");
    await page.keyboard.press("Control+Enter");
    await page.waitForSelector(".image .large");
    expect(await axeViolations(page)).toEqual([]);
    expect(await overflow(page)).toBe(0);
  });

  it("generates with one thread where there is no service worker", async () => {
    const page = await open(await visitor({ ...desktop, serviceWorkers: "block" }));
    expect(await isolated(page)).toBe(false);
    await start(page, "a red apple, flat icon");
    await page.waitForSelector(".image .large");
    expect(await page.innerText(".about")).toContain(
      "in this tab, on the processor by WebAssembly, in float32",
    );
  });

  it("downloads a model of the Hub once that is agreed to, generates with it offline, and deletes it", {
    timeout: 240_000,
  }, async () => {
    const context = await visitor();
    await context.route("https://huggingface.co/**", (route) => hubAnswer(route));
    let page = await open(context);
    await page.fill("#added-model", "someone/koala");
    await page.keyboard.press("Enter");
    await page.waitForSelector(`text=/someone.koala is [\\d.]+ MB to download/`);
    expect(hub.downloads().filter((name) => name.endsWith(".safetensors"))).toEqual([]);
    await page.click(".added-model .primary");
    await expect.poll(() => page.inputValue("#model"), { timeout: 60_000 }).toBe("someone/koala");

    // Its name is kept with its commit, so the next visit asks the Hub nothing.
    await page.reload();
    await page.waitForSelector("form");
    await context.unroute("https://huggingface.co/**");
    const asked = hub.requests.length;
    await expect.poll(() => page.inputValue("#model"), { timeout: 60_000 }).toBe("someone/koala");
    await start(page, "a koala", { steps: "2", width: "64", height: "64" });
    await page.waitForSelector(".image .large", { timeout: 120_000 });
    expect(hub.requests.length).toBe(asked);

    page = await open(context);
    await page.click("[aria-label='Delete someone/koala']");
    await page.waitForSelector(".stored-models", { state: "detached" });
    expect(await page.locator("#model option").allTextContents()).not.toContain("someone/koala");
    await context.route("https://huggingface.co/**", (route) => hubAnswer(route));
    await page.fill("#added-model", "someone/nothing");
    await page.keyboard.press("Enter");
    await page.waitForSelector("text=/must be a model that can be read/");
    complaints.splice(0); // Chromium logs the response 401
  });
});

/** Answers of the test's Hub, as if they were the Hub's. */
async function hubAnswer(route: Route): Promise<void> {
  const { pathname, search } = new URL(route.request().url());
  const { range } = route.request().headers();
  const answer = await fetch(`${hub.url}${pathname}${search}`, { headers: range ? { range } : {} });
  const body = Buffer.from(await answer.arrayBuffer());
  const link = answer.headers.get("link")?.replace(hub.url, "https://huggingface.co");
  const headers = {
    "access-control-allow-origin": "*",
    "access-control-expose-headers": "link",
    ...(link && { link }),
  };
  await route.fulfill({ status: answer.status, headers, body });
}
