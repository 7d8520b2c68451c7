/** @file Tests of LoRAs and embeddings on the page, in Chromium: chosen from the server's list, and kept with the image. */

import type { Page } from "playwright-core";
import { beforeEach, describe, expect, it } from "vitest";
import { modelOrBundled } from "../src/hub/bundled-models.js";
import { setUpPage } from "./page-setup.js";
import { goldenModel, tinyEmbedding, tinyLora } from "./serving.js";

const name = "koala-1b-tiny-diffusers";
const site = setUpPage({
  models: [goldenModel, modelOrBundled(undefined)],
  loras: [{ name, ...tinyLora, scale: 0.75 }],
  embeddings: [tinyEmbedding],
});

let page: Page;
beforeEach(async () => {
  page = await site.open();
});

const scale = () => page.getByLabel(`Scale of ${name}`);

describe("a LoRA", () => {
  it("is added at the server's scale or another, and its scale is read back from the image", async () => {
    await page.selectOption("[aria-label='Add a LoRA']", name);
    expect(await page.inputValue("#prompt")).toBe(`<lora:${name}:0.75>`);
    expect(await scale().inputValue()).toBe("0.75");
    await page.fill("#prompt", `a red bicycle <lora:${name}:0.75> <lora:unknown:1>`);
    await page.waitForSelector(".lora-chip.problem >> text=Not on this server");
    await page.getByLabel("Remove unknown").click();
    await scale().fill("0.5");
    expect(await page.inputValue("#prompt")).toBe(`a red bicycle <lora:${name}:0.5>`);
    await page.fill("#steps", "1");
    await page.keyboard.press("Control+Enter");
    await page.waitForSelector(".thumb"); // the model is loaded with it
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

  it("survives a reload, and is marked for a model without LoRAs", async () => {
    await page.selectOption("[aria-label='Add a LoRA']", name);
    await page.reload();
    await page.waitForSelector("[aria-label='Scale of koala-1b-tiny-diffusers']");
    await page.selectOption("#model", "nano");
    expect(await page.locator(".lora-chip.problem").count()).toBe(1);
    await page.fill("#prompt", "");
    expect(await page.locator(".lora-chips").count()).toBe(0);
  });
});

describe("an embedding", () => {
  it("is added to either prompt, counted as its vectors, and removed from its chip", async () => {
    await page.fill("#prompt", "a red bicycle");
    const negative = page.getByLabel("Add an embedding to the negative prompt");
    await negative.selectOption(tinyEmbedding.token);
    await page.getByLabel("Add an embedding to the prompt").selectOption(tinyEmbedding.token);
    expect(await page.inputValue("#negative")).toBe("badmix");
    expect(await page.inputValue("#prompt")).toBe("a red bicycle, badmix");
    await expect.poll(() => page.locator("#negative-count").innerText()).toBe("4 of 75 tokens");
    await page.fill("#prompt", "a (Badmix:1.2), red");
    await page.getByLabel("Remove badmix from the prompt").click();
    expect(await page.inputValue("#prompt")).toBe("a red");
  });
});
