/** @file The page in a real Chromium, generated for by the real server with the tiny model. */

import { readFile } from "node:fs/promises";
import type { Browser, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { fileTexts } from "../src/image/metadata/file-texts.js";
import type { Job, JobList } from "../src/jobs/schemas.js";
import { type Serving, serveModels } from "../src/server/server.js";
import { openBrowser, phone, type Visit, visit } from "./browser.js";
import { tinyModel } from "./serving.js";

let browser: Browser;
let server: Serving;
let open: Visit | undefined;

beforeAll(async () => {
  [browser, server] = await Promise.all([
    openBrowser(),
    serveModels({ models: [tinyModel], port: 0, threads: 1, limits: { steps: 900 } }),
  ]);
});
afterEach(async () => {
  const complaints = open?.complaints;
  await open?.close();
  open = undefined;
  expect(complaints ?? []).toEqual([]);
});
afterAll(async () => {
  await browser?.close();
  await server?.close(0);
});

async function opened(): Promise<Page> {
  open = await visit(browser, server.url);
  return open.page;
}

const api = async <T>(path: string, init?: RequestInit) =>
  (await (await fetch(new URL(path, server.url), init)).json()) as T;
const lastJob = async (): Promise<Job> => (await api<JobList>("/api/jobs")).jobs[0]!;
const text = (page: Page, selector: string) => page.locator(selector).innerText();

async function generate(page: Page, prompt: string, settings: Record<string, string> = {}): Promise<void> {
  await page.fill("#prompt", prompt);
  for (const [id, value] of Object.entries({ steps: "4", ...settings })) await page.fill(`#${id}`, value);
  await page.keyboard.press("Control+Enter");
}

const shown = (page: Page) => page.waitForSelector(".image .large");

/** A PNG of the real server, with its settings inside. */
async function generatedPng(settings: Record<string, unknown>): Promise<Buffer> {
  const headers = { "content-type": "application/json" };
  let job = await api<Job>("/api/jobs", { method: "POST", headers, body: JSON.stringify(settings) });
  while (job.state !== "done") {
    await new Promise((resolve) => setTimeout(resolve, 50));
    job = await api<Job>(`/api/jobs/${job.id}`);
  }
  const { pathname } = new URL(job.images[0]!.url, server.url);
  return Buffer.from(await (await fetch(new URL(pathname, server.url))).arrayBuffer());
}

/** Drops a file as a user does, on the element that the selector finds. */
async function drop(page: Page, selector: string, name: string, bytes: Uint8Array): Promise<void> {
  // As text, since DOM types are not for these files.
  const transfer = await page.evaluateHandle(`(() => {
    const data = new DataTransfer();
    const bytes = Uint8Array.from(atob("${Buffer.from(bytes).toString("base64")}"), (c) => c.charCodeAt(0));
    data.items.add(new File([bytes], ${JSON.stringify(name)}, { type: "image/png" }));
    return data;
  })()`);
  await page.dispatchEvent(selector, "dragover", { dataTransfer: transfer });
  await page.dispatchEvent(selector, "drop", { dataTransfer: transfer });
}

describe("generating", () => {
  it("shows the image while it is generated, then keeps it with its settings", async () => {
    const page = await opened();
    await generate(page, "a red bicycle", { steps: "150", seed: "7" });
    await Promise.all([
      page.waitForSelector('.frame image[href^="data:image/jpeg"]'),
      page.waitForSelector("text=/Step \\d+ of 150 · \\d+ s left/"),
    ]);
    await shown(page);
    const { settings } = await lastJob();
    const facts = await text(page, ".image .facts");
    expect(facts).toMatch(/Steps\s+150/);
    expect(facts).toContain(settings.seed);
    expect(await page.locator(".thumb").count()).toBe(1);
    expect(settings.negativePrompt).toBeUndefined();
  });

  it("fills in the model's own defaults, and a size by its shape", async () => {
    const page = await opened();
    const { models } = await api<{ models: { defaults: Record<string, unknown> }[] }>("/api/models");
    expect(await page.inputValue("#steps")).toBe(String(models[0]!.defaults.steps));
    expect(await page.inputValue("#scheduler")).toBe(models[0]!.defaults.scheduler);
    await page.click("text=Portrait");
    expect([await page.inputValue("#width"), await page.inputValue("#height")]).toEqual(["56", "72"]);
    await page.click("text=Its defaults");
    expect(await page.inputValue("#width")).toBe(String(models[0]!.defaults.width));
  });

  it("draws a seed for every generation until it is kept", async () => {
    const page = await opened();
    const seeds: string[] = [];
    for (const press of ["", "", "[aria-label='Keep this seed']"]) {
      if (press) await page.click(press);
      await generate(page, "a cat", { steps: "1" });
      await page.waitForSelector(`.thumb:nth-child(${seeds.length + 1})`);
      await page.waitForSelector(".generating", { state: "detached" });
      seeds.push((await lastJob()).settings.seed);
    }
    expect(seeds[1]).not.toBe(seeds[0]);
    expect(seeds[2]).toBe(seeds[1]);
  });

  it("comes into sight on a phone, with its step and cancel, where the form fills the screen", async () => {
    open = await visit(browser, server.url, phone);
    const { page } = open;
    await page.click(".settings summary");
    await generate(page, "a red bicycle", { steps: "900" });
    await page.waitForSelector(".generating .progress >> text=Step");
    const cancel = page.locator(".generating >> text=Cancel");
    const inSight = async () => {
      const { y, height } = (await cancel.boundingBox())!;
      return y >= 0 && y + height <= phone.viewport.height;
    };
    await expect.poll(inSight).toBe(true);
    await cancel.tap();
    await page.waitForSelector(".generating", { state: "detached" });
  });

  it("is cancelled by Escape, and the server stops", async () => {
    const page = await opened();
    await generate(page, "a cat", { steps: "900", count: "16" });
    await page.waitForSelector(".frame image");
    await page.keyboard.press("Escape");
    await page.waitForSelector("text=Stopped.");
    await page.waitForSelector(".empty");
    await expect.poll(async () => (await lastJob()).state).toBe("cancelled");
  });

  it("queues another behind what is generated", async () => {
    const page = await opened();
    await generate(page, "a cat", { steps: "900", count: "4" });
    await page.waitForSelector(".generating");
    await generate(page, "a dog", { steps: "1", count: "1" });
    await page.waitForSelector("text=Cancel all 2");
    await page.keyboard.press("Escape");
    await shown(page);
    expect(await text(page, ".image .generated-prompt")).toBe("a dog");
  });

  it("is found again after the page was left", async () => {
    const page = await opened();
    await generate(page, "a slow cat", { steps: "150", count: "6" });
    await page.waitForSelector(".frame image");
    await page.reload();
    await page.waitForSelector(".thumb:nth-child(6)");
    await shown(page);
    expect(await page.locator(".thumb").count()).toBe(6);
    expect(await text(page, ".image .generated-prompt")).toBe("a slow cat");
  });

  it("says what is wrong and where", async () => {
    const page = await opened();
    await page.keyboard.press("Control+Enter");
    await page.waitForSelector("text=Say first what to generate");
    await generate(page, "a cat", { steps: "901" });
    await page.waitForSelector("text=steps: must be at most 900 on this server, got 901.");
    expect(await page.getAttribute("#steps", "aria-invalid")).toBe("true");
    open!.complaints.splice(0, 1); // Chromium tells of the answer 422
  });
});

describe("a server", () => {
  it("that asks for a key is generated with once the visitor gave the right one", async () => {
    const key = "a-key-of-some-length";
    const guarded = await serveModels({ models: [tinyModel], port: 0, threads: 1, key });
    open = await visit(browser, guarded.url);
    const { page } = open;
    for (const [given, next] of [
      ["another-key", "text=That is another key."],
      [key, "#prompt"],
    ] as const) {
      await page.fill("#key", given);
      await page.keyboard.press("Enter");
      await page.waitForSelector(next);
    }
    await generate(page, "a cat", { steps: "2" });
    await shown(page);
    await page.reload();
    await page.waitForSelector(".thumb");
    open.complaints.splice(0, 2); // Chromium tells of the answers 401
    await guarded.close(0);
  });

  it("that does not answer is named, and what was asked for is kept", async () => {
    const page = await opened();
    await page.context().setOffline(true);
    await generate(page, "a cat");
    await page.waitForSelector("text=The server does not answer.");
    await page.context().setOffline(false);
    await page.keyboard.press("Control+Enter");
    await shown(page);
    // Chromium tells of each request without a connection: the job, and counts of its tokens.
    const told = open!.complaints.splice(0);
    expect(new Set(told)).toEqual(new Set(["Failed to load resource: net::ERR_INTERNET_DISCONNECTED"]));
  });
});

describe("the gallery", () => {
  it("survives a reload, and is searched", async () => {
    const page = await opened();
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
    await shown(page);
    expect(await text(page, ".image .generated-prompt")).toBe("a red bicycle");
  });

  it("gives settings again, compares side by side, downloads, deletes and gives back", async () => {
    const page = await opened();
    await generate(page, "a red bicycle", { steps: "3", guidance: "2.5" });
    await page.waitForSelector(".thumb");
    await generate(page, "a red bicycle", { steps: "5", guidance: "2.5" });
    await page.waitForSelector(".thumb:nth-child(2)");
    await page.waitForSelector(".generating", { state: "detached" });
    await page.click(".thumb:nth-child(2) .open");
    await page.click("text=Use these settings");
    expect(await page.inputValue("#steps")).toBe("3");
    expect(await page.getAttribute("[aria-label='Keep this seed']", "aria-pressed")).toBe("true");
    const [file] = await Promise.all([page.waitForEvent("download"), page.click("text=Download")]);
    expect(file.suggestedFilename()).toMatch(/^a-red-bicycle-\d+\.png$/);
    expect((await fileTexts(await readFile(await file.path())))?.get("parameters")).toMatch(
      /^a red bicycle\nSteps: 3/,
    );

    await page.focus(".thumb:nth-child(1) .open");
    for (const n of [1, 2]) await page.click(`.thumb:nth-child(${n}) .pick`);
    await page.click("text=Compare 2");
    await page.waitForSelector("dialog.compare[open]");
    const differing = await page.locator("dialog .differs dt").allInnerTexts();
    expect(new Set(differing)).toEqual(new Set(["Steps", "Seed"]));
    await page.keyboard.press("Escape");
    await page.waitForSelector("dialog", { state: "detached" });

    await page.focus(".thumb:nth-child(1) .open");
    await page.keyboard.press("Delete");
    await page.waitForSelector("text=Image deleted.");
    expect(await page.locator(".thumb").count()).toBe(1);
    expect(await page.evaluate("document.activeElement.className")).toBe("open");
    await page.click("text=Undo");
    await page.waitForSelector(".thumb:nth-child(2)");
  });
});

describe("an image that is dropped", () => {
  it("gives its settings to the form", async () => {
    const png = await generatedPng({
      prompt: "ein Käfer, 虫",
      negativePrompt: "blurry",
      seed: "12345678901234567",
      steps: 3,
      guidanceScale: 2.5,
      width: 72,
      height: 56,
      scheduler: "dpmpp-2m-karras",
    });
    const page = await opened();
    await drop(page, ".stage", "bug.png", png);
    await page.waitForSelector("text=The settings of bug.png were taken over.");
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
    await shown(page);
    const { url } = (await lastJob()).images[0]!;
    const again = await (await fetch(new URL(new URL(url, server.url).pathname, server.url))).arrayBuffer();
    expect(Buffer.from(again).equals(png)).toBe(true);
  });

  it("that holds none can be begun with", async () => {
    const page = await opened();
    await drop(
      page,
      ".stage",
      "plain.png",
      await readFile(new URL("../docs/images/page-phone.png", import.meta.url)),
    );
    const message = await page.waitForSelector(".message");
    expect(await message.innerText()).toContain("plain.png holds no settings");
    await page.setInputFiles("#read-file", {
      name: "other.png",
      mimeType: "image/png",
      buffer: Buffer.from("no image"),
    });
    await page.waitForSelector("text=other.png is no PNG, JPEG or WebP file");
    await drop(page, ".stage", "text.png", Buffer.from("no image"));
    await page.waitForSelector("text=text.png is no PNG, JPEG or WebP file");
  });

  it("of another program gives what could be read, and names the rest", async () => {
    const page = await opened();
    const file = (name: string) =>
      readFile(new URL(`../src/image/metadata/testdata/${name}`, import.meta.url));
    const values = () =>
      Promise.all(["prompt", "negative", "seed", "steps"].map((id) => page.inputValue(`#${id}`)));
    await drop(page, ".stage", "comfyui.webp", await file("comfyui.webp"));
    await page.waitForSelector("text=Made by ComfyUI: the image will be similar at best.");
    expect(await values()).toEqual(['a "grün" lighthouse', "text, watermark", "18446744073709551615", "20"]);
    await drop(page, ".stage", "drop-comfy.png", await file("drop-comfy.png"));
    await page.waitForSelector("text=The prompt could not be read: its prompt was not found");
    expect(await values()).toEqual(['a "grün" lighthouse', "text, watermark", "5", "20"]);
    await drop(page, ".stage", "no-charset.jpg", await file("no-charset.jpg"));
    await page.waitForSelector("text=The model juggernaut");
    expect(await values()).toEqual(["a cat", "ugly, bad", "1234567890123", "3"]);
  });

  it("begins a generation, with a mask that is generated by mouse and keys", async () => {
    const png = await generatedPng({ prompt: "a wall", steps: 1, seed: 1 });
    const page = await opened();
    await drop(page, ".start", "wall.png", png);
    await page.click("text=Generate a mask");
    const canvas = page.locator("dialog canvas");
    await canvas.click({ position: { x: 40, y: 40 } });
    await canvas.focus();
    await page.keyboard.press("ArrowRight");
    await page.keyboard.press(" ");
    await page.click("dialog >> text=Done");
    await page.waitForSelector(".layers .mask");
    await page.fill("#strength", "0.8");
    await generate(page, "a wall with a door", { steps: "5" });
    await shown(page);
    const { settings } = await lastJob();
    expect([settings.masked, settings.strength]).toEqual([true, 0.8]);
    expect(await text(page, ".image .facts")).toMatch(/Strength\s+0.8[\s\S]*Mask\s+yes/);
  });
});

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

  it("fills in, survives a reload and is saved as one PNG", async () => {
    const page = await opened();
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

  it("stops and goes on", async () => {
    const page = await opened();
    await start(page, "red, blue, green", "80");
    await page.waitForSelector(".cell");
    await page.keyboard.press("Escape");
    await page.waitForSelector("text=Go on");
    const before = await page.locator(".cell").count();
    expect(before).toBeLessThan(6);
    await page.click("text=Go on");
    await page.waitForSelector("text=All 6 images");
  });

  it("refuses words that are not in the prompt", async () => {
    const page = await opened();
    await start(page, "yellow, blue", "2");
    await page.waitForSelector('text=x: must begin with words that are in the prompt, got "yellow"');
    expect(await page.getAttribute("#x-values", "aria-invalid")).toBe("true");
  });
});
