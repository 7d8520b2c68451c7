/** @file Tests of the page's gallery, in Chromium: search, settings, full view, many images, deletion. */

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

/** The files of a ZIP file without compression, by name. */
function storedEntries(zip: Buffer): Map<string, Uint8Array> {
  const found = new Map<string, Uint8Array>();
  let at = zip.readUInt32LE(zip.length - 22 + 16);
  for (let left = zip.readUInt16LE(zip.length - 22 + 10); left > 0; left--) {
    const [size, nameLength] = [zip.readUInt32LE(at + 24), zip.readUInt16LE(at + 28)];
    const local = zip.readUInt32LE(at + 42);
    const start = local + 30 + zip.readUInt16LE(local + 26) + zip.readUInt16LE(local + 28);
    found.set(zip.toString("utf8", at + 46, at + 46 + nameLength), zip.subarray(start, start + size));
    at += 46 + nameLength + zip.readUInt16LE(at + 30) + zip.readUInt16LE(at + 32);
  }
  return found;
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
    for (const n of [1, 2]) await page.check(`.thumb:nth-child(${n}) input`);
    await page.click(".chosen-bar >> text=Compare");
    await page.waitForSelector("dialog.compare[open]");
    const differing = await page.locator("dialog .differs dt").allInnerTexts();
    expect(new Set(differing)).toEqual(new Set(["Steps", "Seed"]));
    await page.keyboard.press("Escape");
    await page.waitForSelector("dialog", { state: "detached" });
  });

  it("chooses a range with Shift, saves it as a ZIP file of unique names, and deletes it with an undo", async () => {
    const page = await site.open();
    for (const seed of ["7", "7", "8"]) {
      await generate(page, "a red bicycle", { steps: "1", seed });
      await page.waitForSelector(".generating", { state: "detached" });
    }
    await page.click("[aria-label='New random seed']");
    await page.check(".thumb:nth-child(1) input");
    await page.click(".thumb:nth-child(3) input", { modifiers: ["Shift"] });
    const [file] = await Promise.all([page.waitForEvent("download"), page.click("text=Save as ZIP")]);
    expect(file.suggestedFilename()).toBe("koala-3-images.zip");
    const entries = storedEntries(await readFile(await file.path()));
    expect([...entries.keys()]).toEqual([
      ...["a-red-bicycle-8.png", "a-red-bicycle-7.png", "a-red-bicycle-7-2.png"],
    ]);
    for (const png of entries.values())
      expect((await fileTexts(png))?.get("parameters")).toMatch(/^a red bicycle\nSteps: 1/);
    await page.click(".chosen-bar >> text=Delete");
    await page.waitForSelector("text=3 images deleted.");
    expect(await page.locator(".gallery").count()).toBe(0);
    await page.click("text=Undo");
    await page.waitForSelector(".thumb:nth-child(3)");
  });

  it("has a full view: zoom, arrow keys to the neighbours, copies, and the focus back after Escape", async () => {
    const page = await site.open();
    await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
    await generateTwo(page);
    await page.focus(".enlarge");
    await page.keyboard.press("Enter");
    const width = async () => (await page.locator(".stage img").boundingBox())!.width;
    const percent = () => textOf(page, ".tools .percent");
    await page.waitForSelector("text=Image 1 of 2");
    const fitted = await width();
    for (const key of ["+", "+"]) await page.keyboard.press(key);
    expect(await width()).toBeCloseTo(fitted * 1.25 ** 2);
    await page.keyboard.press("ArrowRight");
    await page.waitForSelector("text=Image 2 of 2");
    await page.keyboard.press("1");
    expect([await percent(), await width()]).toEqual(["100 %", 64]);
    await page.mouse.move(640, 450);
    await page.mouse.wheel(0, -100);
    expect(await percent()).toBe("125 %");
    await page.keyboard.press("0");
    expect(await width()).toBe(fitted);
    await page.click("[aria-label='Copy image']");
    await page.waitForSelector("dialog >> text=Image copied.");
    const read =
      "navigator.clipboard.read().then(([item]) => item.getType('image/png')).then(({ size }) => size)";
    expect(await page.evaluate(read)).toBeGreaterThan(100);
    for (let i = 0; i < 12; i++) await page.keyboard.press("Tab");
    expect(await page.evaluate("document.activeElement.matches('body, dialog *')")).toBe(true);
    await page.keyboard.press("Escape");
    await page.waitForSelector("dialog", { state: "detached" });
    expect(await page.evaluate("document.activeElement.className")).toBe("enlarge");
    await page.click("text=Copy settings");
    await page.waitForSelector("text=Settings copied.");
    expect(await page.evaluate("navigator.clipboard.readText()")).toMatch(/^a red bicycle\nSteps: 3/);
  });

  it("generates the next one and four of an image, with the seeds that follow and are not there yet", async () => {
    const page = await site.open();
    await generate(page, "a red bicycle", { steps: "1", seed: "18446744073709551614" });
    await imageShown(page);
    await page.click("text=Four of this");
    await page.waitForSelector(".thumb:nth-child(5)");
    const { settings, images } = await site.lastJob();
    expect(settings).toMatchObject({ prompt: "a red bicycle", steps: 1, count: 4 });
    expect(images.map(({ seed }) => seed)).toEqual(["18446744073709551615", "0", "1", "2"]);
    await page.waitForSelector(".generating", { state: "detached" });
    await page.click(".thumb:nth-child(5) .open");
    await page.click("text=Next seed");
    await page.waitForSelector(".thumb:nth-child(6)");
    expect((await site.lastJob()).settings.seed).toBe("3");
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
