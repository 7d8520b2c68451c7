/** @file Tests of the page's grid view, in Chromium. */

import { readFile } from "node:fs/promises";
import type { Page } from "playwright-core";
import sharp from "sharp";
import { describe, expect, it } from "vitest";
import { fileTexts } from "../src/image/metadata/file-texts.js";
import type { JobList } from "../src/jobs/schemas.js";
import { axeViolations } from "./accessibility.js";
import { generate, setUpPage } from "./page-setup.js";

const site = setUpPage();
/** DOM types are not available to these files. */
type Canvas = { toDataURL(): string };

describe("a grid", () => {
  const start = async (page: Page, x: string, steps: string) => {
    await page.click("nav >> text=Grid");
    await page.fill("#prompt", "a red bicycle");
    await page.fill("#steps", steps);
    await page.selectOption("#x-kind", "prompt");
    await page.fill("#x-values", x);
    await page.selectOption("#y-kind", "guidanceScale");
    await page.fill("#y-values", "1, 3");
    await page.keyboard.press("Control+Enter");
  };

  it("is filled cell by cell, survives a reload and is saved as one PNG", async () => {
    const page = await site.open();
    await start(page, "red, blue", "2");
    await page.waitForSelector("text=All 4 images");
    const heads = await page.locator(".table th").allInnerTexts();
    expect(heads).toEqual(["red", "blue", "guidance 1", "guidance 3"]);
    await page.reload();
    await page.waitForSelector(".cell");
    expect(await page.locator(".cell").count()).toBe(4);
    const [file] = await Promise.all([page.waitForEvent("download"), page.click("text=Save as PNG")]);
    const texts = (await fileTexts(await readFile(await file.path())))!;
    expect(texts.get("parameters")).toMatch(
      /Script: X\/Y\/Z plot, X Type: Prompt S\/R, X Values: "red,blue"/,
    );
    expect(texts.get("XML:com.adobe.xmp")).toContain("trainedAlgorithmicMedia");
    await page.click("[aria-label='Use the settings of blue guidance 3']");
    expect(await page.inputValue("#prompt")).toBe("a blue bicycle");
    expect(await page.inputValue("#guidance")).toBe("3");
  });

  it("takes its axes from the prompt's alternatives, and shows and saves what rows and columns have in common", async () => {
    const page = await site.open();
    await page.click("nav >> text=Grid");
    await page.fill("#prompt", "a {red|blue} {cup|book}");
    await page.fill("#steps", "1");
    for (const axis of ["x", "y"]) await page.selectOption(`#${axis}-kind`, "prompt");
    expect([await page.inputValue("#x-values"), await page.inputValue("#y-values")]).toEqual([
      "{red|blue}",
      "{cup|book}",
    ]);
    await page.keyboard.press("Control+Enter");
    await page.waitForSelector("text=All 4 images");
    await page.click("text=Averages");
    const mean = (label: string) => page.locator(`canvas[aria-label="Mean of ${label}"]`);
    await mean("4 images: the whole grid").waitFor();
    expect(await page.locator(".table th").allInnerTexts()).toEqual([
      "red",
      "blue",
      "mean",
      "cup",
      "book",
      "mean",
    ]);
    // The means of the files that the server has, by sharp.
    const { jobs } = await site.api<JobList>("/api/jobs");
    const pixelsOf = async (prompt: string) => {
      const { images } = jobs.find(({ settings }) => settings.prompt === prompt)!;
      const { pathname } = new URL(images[0]!.url, site.server.url);
      const file = await (await fetch(new URL(pathname, site.server.url))).arrayBuffer();
      return sharp(file).removeAlpha().raw().toBuffer();
    };
    const shown = async (label: string) => {
      const url = await mean(label).evaluate((canvas) => (canvas as unknown as Canvas).toDataURL());
      return sharp(Buffer.from(url.split(",")[1]!, "base64"))
        .removeAlpha()
        .raw()
        .toBuffer();
    };
    const [redCup, redBook] = await Promise.all(["a red cup", "a red book"].map(pixelsOf));
    const column = await shown("2 images: red");
    expect(column.every((x, i) => x === Math.round((redCup![i]! + redBook![i]!) / 2))).toBe(true);
    expect(redCup!.some((x, i) => x !== column[i])).toBe(true);
    expect(await axeViolations(page)).toEqual([]);
    const [file] = await Promise.all([page.waitForEvent("download"), page.click("text=Save as PNG")]);
    const { width = 0, height = 0 } = await sharp(await file.path()).metadata();
    expect(width).toBeGreaterThan(3 * 160);
    expect(height).toBeGreaterThan(3 * 160);
  });

  it("is stopped and continued", async () => {
    const page = await site.open();
    await start(page, "red, blue, green", "80");
    await page.waitForSelector(".cell");
    await page.keyboard.press("Escape");
    await page.waitForSelector("text=Continue");
    const before = await page.locator(".cell").count();
    expect(before).toBeLessThan(6);
    await page.click("text=Continue");
    await page.waitForSelector("text=All 6 images");
  });

  it("rejects words that are not in the prompt", async () => {
    const page = await site.open();
    await start(page, "yellow, blue", "2");
    await page.waitForSelector('text=x: must begin with words that are in the prompt, got "yellow"');
    expect(await page.getAttribute("#x-values", "aria-invalid")).toBe("true");
  });

  it("shows the init image of its cells, and can remove it", async () => {
    const page = await site.open();
    await generate(page, "a cat");
    await page.waitForSelector(".image");
    await page.click("text=Start from this image");
    await page.waitForSelector(".chosen");
    await page.click("nav >> text=Grid");
    await page.fill("#steps", "2");
    await page.fill("#x-values", "1, 2");
    await page.selectOption("#y-kind", "none");
    expect(await page.locator(".init-image-note").innerText()).toContain(
      "starts from the chosen image, at strength 0.6.",
    );
    await page.keyboard.press("Control+Enter");
    await page.waitForSelector("text=All 2 images");
    expect(await page.locator(".grid-head .quiet").innerText()).toContain(
      "beginning with an image at strength 0.6",
    );
    await page.click(".init-image-note >> text=Remove the image");
    expect(await page.locator(".init-image-note, .chosen").count()).toBe(0);
    await page.focus("#prompt");
    await page.keyboard.press("Control+Enter");
    await page.waitForSelector("text=All 2 images");
    expect(await page.locator(".grid-head .quiet").innerText()).not.toContain("beginning");
  });
});
