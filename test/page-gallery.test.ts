/** @file Tests of the page's gallery, in Chromium: search, settings, comparison, download, deletion. */

import { readFile } from "node:fs/promises";
import type { Page } from "playwright-core";
import { describe, expect, it } from "vitest";
import { fileTexts } from "../src/image/metadata/file-texts.js";
import { generate, imageShown, setUpPage, textOf } from "./page-setup.js";

const site = setUpPage();

async function generateTwo(page: Page): Promise<void> {
  for (const [i, steps] of ["3", "5"].entries()) {
    await generate(page, "a red bicycle", { steps, guidance: "2.5" });
    await page.waitForSelector(`.thumb:nth-child(${i + 1})`);
  }
  await page.waitForSelector(".generating", { state: "detached" });
}

describe("the gallery", () => {
  it("survives a reload, and is searched by words", async () => {
    const page = await site.open();
    await generate(page, "a red bicycle");
    await page.waitForSelector(".thumb");
    await generate(page, "a green apple");
    await page.waitForSelector(".thumb:nth-child(2)");
    await page.reload();
    await page.waitForSelector(".thumb:nth-child(2)");
    expect(await page.inputValue("#prompt")).toBe("a green apple");
    await page.fill("input[type=search]", "BICYCLE red");
    expect(await page.locator(".thumb").count()).toBe(1);
    await page.click(".thumb .open");
    await imageShown(page);
    expect(await textOf(page, ".image .generated-prompt")).toBe("a red bicycle");
  });

  it("applies an image's settings to the form, and downloads it with them", async () => {
    const page = await site.open();
    await generateTwo(page);
    await page.click(".thumb:nth-child(2) .open");
    await page.click("text=Use these settings");
    expect(await page.inputValue("#steps")).toBe("3");
    expect(await page.getAttribute("[aria-label='Keep this seed']", "aria-pressed")).toBe("true");
    const [file] = await Promise.all([page.waitForEvent("download"), page.click("text=Download")]);
    expect(file.suggestedFilename()).toMatch(/^a-red-bicycle-\d+\.png$/);
    const texts = await fileTexts(await readFile(await file.path()));
    expect(texts?.get("parameters")).toMatch(/^a red bicycle\nSteps: 3/);
  });

  it("compares images side by side and marks the settings in which they differ", async () => {
    const page = await site.open();
    await generateTwo(page);
    await page.focus(".thumb:nth-child(1) .open");
    for (const n of [1, 2]) await page.click(`.thumb:nth-child(${n}) .pick`);
    await page.click("text=Compare 2");
    await page.waitForSelector("dialog.compare[open]");
    const differing = await page.locator("dialog .differs dt").allInnerTexts();
    expect(new Set(differing)).toEqual(new Set(["Steps", "Seed"]));
    await page.keyboard.press("Escape");
    await page.waitForSelector("dialog", { state: "detached" });
  });

  it("deletes an image with the Delete key, moves the focus to the next, and restores it with Undo", async () => {
    const page = await site.open();
    await generateTwo(page);
    await page.focus(".thumb:nth-child(1) .open");
    await page.keyboard.press("Delete");
    await page.waitForSelector("text=Image deleted.");
    expect(await page.locator(".thumb").count()).toBe(1);
    expect(await page.evaluate("document.activeElement.className")).toBe("open");
    await page.click("text=Undo");
    await page.waitForSelector(".thumb:nth-child(2)");
  });
});
