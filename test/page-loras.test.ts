/** @file LoRAs on the page: chosen from what the server has for a model, and kept with the image. */

import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, beforeEach, expect, it } from "vitest";
import { modelOrBundled } from "../src/pipeline/bundled-model.js";
import { type Serving, serveModels } from "../src/server/server.js";
import { openBrowser, type Visit, visit } from "./browser.js";
import { tinyLora, tinyModel } from "./serving.js";

const name = "koala-1b-tiny-diffusers";

let browser: Browser;
let server: Serving;
let open: Visit;
let page: Page;

beforeAll(async () => {
  const models = [tinyModel, modelOrBundled(undefined)];
  [browser, server] = await Promise.all([
    openBrowser(),
    serveModels({ models, loras: [{ name, ...tinyLora, scale: 0.75 }], port: 0, threads: 1 }),
  ]);
});
beforeEach(async () => {
  open = await visit(browser, server.url);
  page = open.page;
  return async () => {
    await open.close();
    expect(open.complaints).toEqual([]);
  };
});
afterAll(async () => {
  await browser?.close();
  await server?.close(0);
});

const scale = () => page.getByLabel(`Scale of ${name}`);

it("is added at the server's scale or another, told with the image, and taken over from it", async () => {
  await page.selectOption("[aria-label='Add a LoRA']", name);
  expect(await scale().inputValue()).toBe("0.75");
  await scale().fill("0.5");
  await page.fill("#prompt", "a red bicycle");
  await page.fill("#steps", "1");
  await page.keyboard.press("Control+Enter");
  await page.waitForSelector(".thumb");
  await page.locator(".thumb").first().click();
  expect(await page.locator(".facts").innerText()).toContain(`${name} (0.5)`);

  const download = page.waitForEvent("download");
  await page.getByRole("button", { name: "Download" }).click();
  const file = await (await download).path();
  await page.getByLabel(`Remove ${name}`).click();
  expect(await scale().count()).toBe(0);
  await page.getByRole("button", { name: "Use these settings" }).click();
  expect(await scale().inputValue()).toBe("0.5");
  await page.getByLabel(`Remove ${name}`).click();
  await page.setInputFiles("#read-file", file);
  await expect.poll(() => scale().count()).toBe(1);
  expect(await scale().inputValue()).toBe("0.5");
});

it("stays over a reload, and goes where a model has none", async () => {
  await page.selectOption("[aria-label='Add a LoRA']", name);
  await page.reload();
  await page.waitForSelector("[aria-label='Scale of koala-1b-tiny-diffusers']");
  await page.selectOption("#model", "nano");
  expect(await page.locator(".loras").count()).toBe(0);
  await page.selectOption("#model", "koala-1b-tiny");
  expect(await scale().count()).toBe(0);
});
