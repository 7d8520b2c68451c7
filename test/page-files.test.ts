/** @file Tests of image files that are dropped on the page, in Chromium: their settings, and image-to-image. */

import { readFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { drop, generate, generatedPng, imageShown, setUpPage, textOf } from "./page-setup.js";

const site = setUpPage();

describe("an image that is dropped", () => {
  it("fills the form with its settings", async () => {
    const png = await generatedPng(site, {
      prompt: "ein Käfer, 虫",
      negativePrompt: "blurry",
      seed: "12345678901234567",
      steps: 3,
      guidanceScale: 2.5,
      width: 72,
      height: 56,
      scheduler: "dpmpp-2m-karras",
    });
    const page = await site.open();
    await drop(page, ".preview", "bug.png", png);
    await page.waitForSelector("text=The settings of bug.png were applied.");
    const fields = ["prompt", "negative", "seed", "steps", "guidance", "width", "height", "scheduler"];
    expect(await Promise.all(fields.map((id) => page.inputValue(`#${id}`)))).toEqual([
      "ein Käfer, 虫",
      "blurry",
      "12345678901234567",
      "3",
      "2.5",
      "72",
      "56",
      "dpmpp-2m-karras",
    ]);
    await page.keyboard.press("Control+Enter");
    await imageShown(page);
    const { url } = (await site.lastJob()).images[0]!;
    const again = await (
      await fetch(new URL(new URL(url, site.server.url).pathname, site.server.url))
    ).arrayBuffer();
    expect(Buffer.from(again).equals(png)).toBe(true);
  });

  it("without settings is reported", async () => {
    const page = await site.open();
    await drop(
      page,
      ".preview",
      "plain.png",
      await readFile(new URL("../docs/images/page.png", import.meta.url)),
    );
    const message = await page.waitForSelector(".message");
    expect(await message.innerText()).toContain("plain.png contains no settings");
    await page.setInputFiles("#read-file", {
      name: "other.png",
      mimeType: "image/png",
      buffer: Buffer.from("no image"),
    });
    await page.waitForSelector("text=other.png is not a PNG, JPEG or WebP file");
    await drop(page, ".preview", "text.png", Buffer.from("no image"));
    await page.waitForSelector("text=text.png is not a PNG, JPEG or WebP file");
  });

  it("of another program fills in what could be read, and the rest is listed", async () => {
    const page = await site.open();
    const file = (name: string) =>
      readFile(new URL(`../src/image/metadata/testdata/${name}`, import.meta.url));
    const values = () =>
      Promise.all(["prompt", "negative", "seed", "steps"].map((id) => page.inputValue(`#${id}`)));
    await drop(page, ".preview", "comfyui.webp", await file("comfyui.webp"));
    await page.waitForSelector("text=Made with ComfyUI: expect a similar image, not the same one.");
    expect(await values()).toEqual(['a "grün" lighthouse', "text, watermark", "18446744073709551615", "20"]);
    await drop(page, ".preview", "drop-comfy.png", await file("drop-comfy.png"));
    await page.waitForSelector("text=The prompt could not be read: its prompt was not found");
    expect(await values()).toEqual(['a "grün" lighthouse', "text, watermark", "5", "20"]);
    await drop(page, ".preview", "no-charset.jpg", await file("no-charset.jpg"));
    await page.waitForSelector("text=The model juggernaut");
    expect(await values()).toEqual(["a cat", "ugly, bad", "1234567890123", "3"]);
  });

  it("is the init image of a generation, with a mask drawn by mouse and keys", async () => {
    const png = await generatedPng(site, { prompt: "a wall", steps: 1, seed: 1 });
    const page = await site.open();
    await drop(page, ".init-image", "wall.png", png);
    await page.click("text=Draw a mask");
    const canvas = page.locator("dialog canvas");
    await canvas.click({ position: { x: 40, y: 40 } });
    await canvas.focus();
    await page.keyboard.press("ArrowRight");
    await page.keyboard.press(" ");
    await page.click("dialog >> text=Done");
    await page.waitForSelector(".layers .mask");
    await page.fill("#strength", "0.8");
    await generate(page, "a wall with a door", { steps: "5" });
    await imageShown(page);
    const { settings } = await site.lastJob();
    expect([settings.masked, settings.strength]).toEqual([true, 0.8]);
    expect(await textOf(page, ".image .facts")).toMatch(/Strength\s+0.8[\s\S]*Mask\s+yes/);
  });
});
