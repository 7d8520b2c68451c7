/** @file The commands about models and runs, as processes: inspect, preview-factors, train and watch. */

import { once } from "node:events";
import { cpSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { done, koala, model, start } from "../distill-command.js";
import { brokenImage, makeTestImages } from "../test-images.js";

const scratch = mkdtempSync(path.join(tmpdir(), "koala-commands-"));
afterAll(() => rmSync(scratch, { recursive: true }));
const at = (name: string) => path.join(scratch, name);

beforeAll(() => makeTestImages(at("images"), 6));

describe("koala inspect", () => {
  it("prints a row for each component, whole by the configs", async () => {
    const { stdout } = await done("inspect", model("sdxl-tiny"));
    const rows = stdout.split("\n").filter((line) => / whole$/.test(line));
    expect(rows.map((row) => row.split(" ")[0])).toEqual(["text_encoder", "text_encoder_2", "unet", "vae"]);
  });

  it("ends with 1 where weights are missing, and names the file", async () => {
    cpSync(model("sdxl-tiny"), at("partial"), { recursive: true });
    rmSync(path.join(at("partial"), "vae/diffusion_pytorch_model.safetensors"));
    const { code, stdout, stderr } = await koala("inspect", at("partial"));
    expect(code).toBe(1);
    expect(stdout + stderr).toContain("vae");
  });
});

describe("koala preview-factors", () => {
  beforeAll(() => {
    cpSync(model("sdxl-tiny"), at("fitted"), { recursive: true });
    rmSync(path.join(at("images"), brokenImage));
  });

  it("puts a row of colours for each latent channel into koala.json, and prints its path", async () => {
    const { stdout, stderr } = await done("preview-factors", at("fitted"), "-d", at("images"));
    const file = path.join(at("fitted"), "koala.json");
    expect(stdout.trim()).toBe(file);
    expect(stderr).toMatch(/^6 images; the factors explain \d+\.\d % of their colours$/m);
    const { preview } = JSON.parse(readFileSync(file, "utf8"));
    expect(preview.factors.map((row: number[]) => row.length)).toEqual([3, 3, 3, 3]);
    expect(preview.bias).toHaveLength(3);
  });

  it("writes nothing with --print, and prints the same", async () => {
    const { stdout } = await done("preview-factors", at("fitted"), "-d", at("images"), "--print", "-q");
    const kept = JSON.parse(readFileSync(path.join(at("fitted"), "koala.json"), "utf8"));
    expect(JSON.parse(stdout)).toEqual({ preview: kept.preview });
  });

  it("refuses a folder without images", async () => {
    const { code, stderr } = await koala("preview-factors", at("fitted"), "-d", model("sdxl-tiny"));
    expect([code, stderr]).toEqual([
      2,
      expect.stringContaining(`--data: must hold images, got none in ${model("sdxl-tiny")}`),
    ]);
  });
});

describe("koala train and koala watch", () => {
  it("train a model that koala generates with, and show its run until Ctrl-C", async () => {
    const run = ["--data", at("images"), "--output", at("run"), "--resolution", "32", "--batch-size", "2"];
    await done("train", "--model", model("sdxl-tiny"), ...run, "--steps", "2", "--threads", "1");
    const size = ["-W", "32", "-H", "32", "-s", "1", "-o", at("out.png")];
    await done("generate", "-m", at("run"), "a red circle", ...size);
    const { child, ended } = start(["watch", at("run"), "--port", "0"]);
    const [url] = (await once(createInterface({ input: child.stdout! }), "line")) as [string];
    const page = await (await fetch(url)).text();
    expect(page).toContain("<script");
    child.kill("SIGINT");
    expect(await ended).toMatchObject({ code: 0, signal: null });
  });
});
