/** @file Tests of a first visit to the page with the bundled model, in Chromium: its vocabulary and its token limit. */

import type { Page } from "playwright-core";
import { beforeEach, describe, expect, it } from "vitest";
import { modelOrBundled } from "../src/hub/bundled-models.js";
import { axeViolations, overflow } from "./accessibility.js";
import { phone } from "./browser.js";
import { generate, imageShown, setUpPage, textOf } from "./page-setup.js";
import { goldenModel } from "./serving.js";

const site = setUpPage({ models: [modelOrBundled(undefined), goldenModel] });

let page: Page;
beforeEach(async () => {
  page = await site.open();
});

const text = (selector: string) => textOf(page, selector);
const counted = (selector: string, wanted: string) => expect.poll(() => text(selector)).toBe(wanted);
const word = (name: string) => page.locator(".vocabulary button", { hasText: new RegExp(`^${name}$`) });
const marked = () => page.locator("#prompt-notes mark").allInnerTexts();

describe("an image's words", () => {
  it("show where each went, for the word under the pointer or focus, also on a phone", async () => {
    await generate(page, "a red apple, flat icon", { steps: "2" });
    await imageShown(page);
    await page.click("text=Where did each word go?");
    await page.waitForSelector(".word-heat");
    const words = page.locator(".word-heat .words button");
    await expect.poll(() => words.allInnerTexts()).toEqual(["a", "red", "apple", ",", "flat", "icon"]);
    const drawn = () => page.evaluate('document.querySelector(".word-heat canvas").toDataURL()');
    const before = await drawn();
    await words.nth(2).hover();
    await expect.poll(() => text(".word-heat [role=status]")).toContain('"apple" got ');
    expect(await drawn()).not.toBe(before);
    expect(await axeViolations(page)).toEqual([]);
    await page.setViewportSize(phone.viewport);
    expect(await overflow(page)).toBe(0);
  });
});

describe("a first visit", () => {
  it("shows what the model is, how to use another, a notice on misuse, and examples from its vocabulary", async () => {
    expect(await text(".empty .about")).toBe(
      "nano is a small model for 128 × 128 pixels. It knows 37 nouns, 9 drawing styles and 10 backgrounds, " +
        "and nothing else. It runs on cpu in float32. For anything else, serve a larger model by its Hub id or folder: " +
        "koala serve --model etri-vilab/koala-lightning-700m",
    );
    expect(await text(".page-footer")).toContain("true depictions of people or events");
    const examples = await page.locator(".example").allInnerTexts();
    expect(examples).toHaveLength(3);
    expect(await page.getAttribute("#prompt", "placeholder")).toBe(examples[0]);
    for (const [i, example] of examples.entries()) {
      await page.click(`li:nth-child(${i + 1}) > .example`);
      expect(await page.inputValue("#prompt")).toBe(example);
      expect(await page.locator("#prompt-notes").innerText()).toBe("");
    }
  });

  it("shows generic examples and no vocabulary for a large model", async () => {
    await page.selectOption("#model", "koala-1b-tiny");
    expect(await text(".empty .about")).toBe(
      "koala-1b-tiny is a model of the Stable Diffusion XL family for 64 × 64 pixels. " +
        "It runs on cpu in float32. To use another model, start koala serve --model with its folder or Hub id.",
    );
    expect(await page.getAttribute("#prompt", "placeholder")).toBe("a red bicycle beside a yellow wall");
    expect(await page.locator(".vocabulary").count()).toBe(0);
    await page.fill("#prompt", "a zeppelin");
    await counted("#prompt-count", "6 of 75 tokens");
    expect(await marked()).toEqual([]);
  });
});

describe("the vocabulary", () => {
  it("adds words to the prompt by click and by key, and marks those in it", async () => {
    for (const name of ["yellow", "koala", "line art"]) await word(name).click();
    expect(await page.inputValue("#prompt")).toBe("a koala, line art, on a yellow background");
    await counted("#prompt-count", "10 of 22 tokens");
    await word("koala").press("ArrowRight");
    await page.keyboard.press("Enter");
    expect(await page.inputValue("#prompt")).toBe("a panda, line art, on a yellow background");
    expect(await page.locator(".vocabulary [aria-pressed=true]").allInnerTexts()).toEqual([
      ...["panda", "line art", "yellow"],
    ]);
    await word("line art").click();
    expect(await page.inputValue("#prompt")).toBe("a panda, on a yellow background");
    expect(await page.locator(".vocabulary button[tabindex='0']").count()).toBe(3);
  });

  it("is folded on a phone", async () => {
    page = await site.open(phone);
    await page.tap("text=Known words");
    await page.tap(".vocabulary >> text=mushroom");
    expect(await page.inputValue("#prompt")).toBe("a mushroom");
  });
});

describe("a part of the prompt that the model ignores", () => {
  it("is marked while it is typed, and similar words are offered", async () => {
    await page.locator("#prompt").pressSequentially("an umbre");
    expect(await marked()).toEqual([]);
    await page.locator("#prompt").pressSequentially("la, a zeppelin");
    expect(await marked()).toEqual(["umbrela", "zeppelin"]);
    await page.click("[aria-label='Replace umbrela with umbrella']");
    expect(await page.inputValue("#prompt")).toBe("an umbrella, a zeppelin");
    await page.fill("#prompt", "a (cat:1.3) --tile");
    expect(await text("#prompt-notes")).toContain(
      'Midjourney\'s syntax is off, so this is read as letters: "--tile"',
    );
    expect(await text("#prompt-notes")).not.toContain("AUTOMATIC1111");
    await page.fill("#prompt", "a (cat:1.3.1)");
    expect(await text("#prompt-notes")).toContain("Weights must be numbers");
    await page.selectOption("#reading", "none");
    await page.fill("#prompt", "a (cat:1.3)");
    expect(await text("#prompt-notes")).toContain(
      "AUTOMATIC1111's syntax is off, so this is read as letters",
    );
    await page.selectOption("#reading", "alternatives");
    await page.fill("#prompt", `${"a koala, line art, on a yellow background, ".repeat(2)}red`);
    await counted("#prompt-count", "23 of 44 tokens, 2 chunks");
    expect(await text("#prompt-notes")).toBe("");
    await page.selectOption("#long-prompts", "cut");
    await counted("#prompt-count", "23 of 22 tokens");
    expect(await text("#prompt-notes")).toBe('Only 24 tokens reach the model; this was cut off: "red"');
    await page.fill("#negative", "a zeppelin");
    await page.waitForSelector("#negative-notes mark");
    await page.fill("#guidance", "1");
    expect(await text("#negative-notes")).toBe("Has no effect at guidance 1, only above 1");
  });

  it("has its brackets coloured where they stand, and those without a partner marked", async () => {
    await page.fill("#prompt", `a ((koala:1.2)\n${"in a very wide line, ".repeat(30)}[x`);
    const list = "[...document.querySelectorAll('.prompt-text:has(#prompt) .mark')]";
    const kinds = await page.evaluate(`${list}.map((mark) => mark.textContent + mark.className.slice(4))`);
    expect(kinds).toEqual(["( unmatched", "( bracket-1", ":1.2 weight", ") bracket-1", "[ unmatched"]);
    await page.waitForSelector('text=2 brackets have no partner: "(", "["');
    const heights =
      "['pre', 'textarea'].map((name) => document.querySelector('.prompt-text ' + name).scrollHeight)";
    const [coloured, typed] = (await page.evaluate(heights)) as number[];
    expect(coloured).toBe(typed);
  });

  it("is given another weight by Ctrl+Up, Ctrl+Down and buttons, and the browser's Undo takes that back", async () => {
    await page.fill("#prompt", "a koala, line art");
    await page.press("#prompt", "ArrowLeft");
    await page.press("#prompt", "Control+ArrowUp");
    expect(await page.inputValue("#prompt")).toBe("a koala, line (art:1.1)");
    await page.press("#prompt", "Control+ArrowDown");
    await page.press("#prompt", "Control+ArrowDown");
    expect(await page.inputValue("#prompt")).toBe("a koala, line (art:0.9)");
    await page.click("[aria-label='Prompt: more weight for the selection']");
    expect(await page.inputValue("#prompt")).toBe("a koala, line art");
    await page.press("#prompt", "Control+z");
    expect(await page.inputValue("#prompt")).toBe("a koala, line (art:0.9)");
  });

  it("is listed as a warning beside the image, without a message", async () => {
    await page.fill("#prompt", "a zeppelin, (flat icon:1.2) --tile");
    await page.fill("#steps", "2");
    await page.keyboard.press("Control+Enter");
    await page.waitForSelector(".image .warnings");
    const warnings = await page.locator(".image .warnings li").allInnerTexts();
    expect(warnings.map((warning) => warning.trim())).toEqual([
      expect.stringMatching(/^prompt: Midjourney's syntax .*"--tile"$/),
      expect.stringMatching(/^"zeppelin" is not a word this model knows\./),
      expect.stringContaining('"tile" is not'),
    ]);
    expect(await page.locator(".message").count()).toBe(0);
    expect(await page.getAttribute(".thumb .open", "aria-label")).toContain("with warnings");
    await page.reload();
    await page.click(".thumb .open");
    await page.waitForSelector(".image .warnings");
    expect((await site.lastJob()).settings).toMatchObject({ promptSyntax: "a1111" });
    await page.selectOption("#reading", "none");
    await page.click("text=Use these settings");
    expect(await page.inputValue("#reading")).toBe("alternatives");
  });
});
