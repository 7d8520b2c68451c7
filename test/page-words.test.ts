/** @file The page's first minute, with the model that ships with the package: its words, its limit, what it is not for. */

import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { modelOrBundled } from "../src/pipeline/bundled-model.js";
import { type Serving, serveModels } from "../src/server/server.js";
import { openBrowser, phone, type Visit, visit } from "./browser.js";
import { tinyModel } from "./serving.js";

let browser: Browser;
let server: Serving;
let open: Visit;
let page: Page;

beforeAll(async () => {
  [browser, server] = await Promise.all([
    openBrowser(),
    serveModels({ models: [modelOrBundled(undefined), tinyModel], port: 0, threads: 1 }),
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

const text = (selector: string) => page.locator(selector).innerText();
const counted = (selector: string, wanted: string) => expect.poll(() => text(selector)).toBe(wanted);
const word = (name: string) => page.locator(".words button", { hasText: new RegExp(`^${name}$`) });
const marked = () => page.locator("#prompt-notes mark").allInnerTexts();

describe("a first visit", () => {
  it("says what the model is, how to get another and what images are not for, and gives examples it knows", async () => {
    expect(await text(".empty .about")).toBe(
      "nano is a small model for 128 × 128 pixels that knows 37 nouns, 9 drawing styles and 10 backgrounds, " +
        "and nothing else. For images of anything, start koala serve --model with " +
        "etri-vilab/koala-lightning-700m or any other model's folder or Hub id.",
    );
    expect(await text(".foot")).toContain("true depictions of people or events");
    const examples = await page.locator(".example").allInnerTexts();
    expect(examples).toHaveLength(3);
    expect(await page.getAttribute("#prompt", "placeholder")).toBe(examples[0]);
    for (const [i, example] of examples.entries()) {
      await page.click(`li:nth-child(${i + 1}) > .example`);
      expect(await page.inputValue("#prompt")).toBe(example);
      expect(await page.locator("#prompt-notes").innerText()).toBe("");
    }
  });

  it("is another one for a model of any words", async () => {
    await page.selectOption("#model", "koala-1b-tiny");
    expect(await text(".empty .about")).toBe(
      "koala-1b-tiny is of Stable Diffusion XL's kind and made for 64 × 64 pixels. " +
        "For another model, start koala serve --model with its folder or Hub id.",
    );
    expect(await page.getAttribute("#prompt", "placeholder")).toBe("a red bicycle beside a yellow wall");
    expect(await page.locator(".words").count()).toBe(0);
    await page.fill("#prompt", "a zeppelin");
    await counted("#prompt-count", "8 of 77 tokens");
    expect(await marked()).toEqual([]);
  });
});

describe("the words of the model", () => {
  it("join the prompt by clicks and by keys, and show which of them are in it", async () => {
    for (const name of ["yellow", "koala", "line art"]) await word(name).click();
    expect(await page.inputValue("#prompt")).toBe("a koala, line art, on a yellow background");
    await counted("#prompt-count", "12 of 24 tokens");
    await word("koala").press("ArrowRight");
    await page.keyboard.press("Enter");
    expect(await page.inputValue("#prompt")).toBe("a panda, line art, on a yellow background");
    expect(await page.locator(".words [aria-pressed=true]").allInnerTexts()).toEqual([
      ...["panda", "line art", "yellow"],
    ]);
    await word("line art").click();
    expect(await page.inputValue("#prompt")).toBe("a panda, on a yellow background");
    expect(await page.locator(".words button[tabindex='0']").count()).toBe(3);
  });

  it("are one press away on a phone", async () => {
    const { page: small, complaints, close } = await visit(browser, server.url, phone);
    await small.tap("text=Words it knows");
    await small.tap(".words >> text=mushroom");
    expect(await small.inputValue("#prompt")).toBe("a mushroom");
    await close();
    expect(complaints).toEqual([]);
  });
});

describe("what the model will not make anything of", () => {
  it("is marked while it is typed, and nearer words are offered", async () => {
    await page.locator("#prompt").pressSequentially("an umbre");
    expect(await marked()).toEqual([]);
    await page.locator("#prompt").pressSequentially("la, a zeppelin");
    expect(await marked()).toEqual(["umbrela", "zeppelin"]);
    await page.click("[aria-label='Write umbrella for umbrela']");
    expect(await page.inputValue("#prompt")).toBe("an umbrella, a zeppelin");
    await page.fill("#prompt", "a (cat:1.3), <lora:x:1>");
    expect(await text("#prompt-notes")).toContain(
      'AUTOMATIC1111\'s syntax is not supported yet, so this is read as letters: "(cat:1.3)", "<lora:x:1>"',
    );
    await page.fill("#prompt", `${"a koala, line art, on a yellow background, ".repeat(2)}red`);
    await counted("#prompt-count", "25 of 24 tokens");
    expect(await text("#prompt-notes")).toBe('Only 24 tokens reach the model; this was cut off: "red"');
    await page.fill("#negative", "a zeppelin");
    await page.waitForSelector("#negative-notes mark");
    await page.fill("#guidance", "1");
    expect(await text("#negative-notes")).toBe("Has no effect at guidance 1, only above 1");
  });

  it("stands beside the image that was made all the same, and in no message", async () => {
    await page.fill("#prompt", "a zeppelin, (flat icon:1.2)");
    await page.fill("#steps", "2");
    await page.keyboard.press("Control+Enter");
    await page.waitForSelector(".image .warnings");
    const warnings = await page.locator(".image .warnings li").allInnerTexts();
    expect(warnings.map((warning) => warning.trim())).toEqual([
      expect.stringMatching(/^prompt: AUTOMATIC1111's syntax .*"\(flat icon:1\.2\)"$/),
      expect.stringMatching(/^"zeppelin" is not a word this model knows\./),
      expect.stringMatching(/^"1" is not/),
      expect.stringMatching(/^"2" is not/),
    ]);
    expect(await page.locator(".message").count()).toBe(0);
    expect(await page.getAttribute(".thumb .open", "aria-label")).toContain("with warnings");
    await page.reload();
    await page.click(".thumb .open");
    await page.waitForSelector(".image .warnings");
  });
});
