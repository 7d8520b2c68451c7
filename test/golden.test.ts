/** @file The conformance tool: that its data is complete, and that it fails on every kind of difference. */

import { execFile } from "node:child_process";
import { cp, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { openGolden } from "../golden/conformance/golden-file.js";
import { goldenLayers } from "../golden/conformance/layers.js";
import { sections } from "../golden/conformance/run.js";
import { main } from "../golden/main.js";
import { SingleFiles } from "../golden/single/files.js";
import { blockingEngine } from "../src/engine/ort/blocking-engine.js";
import { change, replace } from "./change.js";

const data = fileURLToPath(new URL("../golden/data", import.meta.url));

/** `npm run golden` compares it all, in continuous integration before the tests; here only that it is all there. */
describe("the golden data", () => {
  it.each([
    ["random", 13],
    ["tokens", 3],
    ["schedulers", 53],
    ["stages", 54],
    ["adapters", 16],
    ["single", 22],
    ["runs", 140],
    ["attention", 3],
    ["distil", 97],
  ])("has its checks of %s, and none without inputs", async (name, count) => {
    const engine = blockingEngine({ threads: 1 });
    const layers = await goldenLayers(data);
    const single = new SingleFiles(layers);
    const context = { folder: data, layers, single, engine, openBlocking: async () => engine };
    const checks = await sections[name]!(context);
    expect(checks.filter((check) => check.name.includes("(")).map((check) => check.name)).toEqual([]);
    expect(checks.length).toBe(count);
  });
});

describe("npm run golden", () => {
  let folder: string;
  const at = (name: string) => path.join(folder, name);
  const copy = (...names: string[]) =>
    Promise.all(names.map((name) => cp(path.join(data, name), at(name), { recursive: true })));
  const golden = async (...args: string[]) => {
    const lines: string[] = [];
    const code = await main([folder, ...args], (text) => lines.push(text));
    return { code, text: lines.join("\n") };
  };
  const fresh = async (work: () => Promise<void>) => {
    folder = path.join(await mkdtemp(path.join(tmpdir(), "golden-")), "golden");
    await mkdir(folder);
    await work().finally(() => rm(path.dirname(folder), { recursive: true }));
  };
  const tiny = ["pipelines/taesd-tiny", "stages/taesd-tiny.safetensors"];
  const run = ["json", "safetensors", "png"].map((ending) => `runs/sd2-tiny/no-negative.${ending}`);

  it("ends with 0 on a folder that holds one stage and one run", () =>
    fresh(async () => {
      await copy(...tiny, "pipelines/sd2-tiny", ...run);
      const { code, text } = await golden();
      expect(text).toContain("5 ok, 0 FAIL");
      expect(code).toBe(0);
    }));

  it.each(["decode.odd.sample", "encode.wide.latents"])(
    "ends with 1 if one number of %s is changed",
    (name) =>
      fresh(async () => {
        await copy(...tiny);
        await change(at("stages/taesd-tiny.safetensors"), name);
        const { code, text } = await golden();
        expect(text).toContain("3 ok, 1 FAIL");
        expect(text).toContain(`first out: ${name.split(".").pop()}: `);
        expect(code).toBe(1);
      }),
  );

  it.each(["steps.noise_pred", "prompt_embeds", "scheduler_timesteps", "initial_latents", "image"])(
    "ends with 1 if one number of a run's %s is changed",
    (name) =>
      fresh(async () => {
        await copy("pipelines/sd2-tiny", ...run);
        await change(at(run[1]!), name);
        const { code, text } = await golden();
        expect(text).toContain(`first out: ${name}`);
        expect(code).toBe(1);
      }),
  );

  it("ends with 1 if a changed table of random numbers, of ids or of a scheduler is out", () =>
    fresh(async () => {
      await copy("random.json", "random.safetensors", "tokens.json", "pipelines/sd2-tiny");
      await copy("pipelines/koala-1b-tiny", "schedulers.json", "schedulers.safetensors");
      await change(at("random.safetensors"), "randn.42.16");
      await change(at("schedulers.safetensors"), "003.prev_sample");
      await replace(at("tokens.json"), "812, 813", "812, 811");
      await replace(at("schedulers.json"), '"sigmas": [0.029167535', '"sigmas": [0.029167635');
      const { code, text } = await golden();
      expect(text).toContain("first out: randn.42.16: must be equal, differs in 1 of 16");
      expect(text).toMatch(/FAIL {2}tokens\/pipelines\/koala-1b-tiny\/tokenizer /);
      expect(text).toMatch(/FAIL {2}schedulers\/tables\//);
      expect(text).toMatch(/FAIL {2}schedulers\/trajectories\//);
      expect(code).toBe(1);
    }));

  it("samples a posterior with the seed in the file's metadata, and needs one", () =>
    fresh(async () => {
      const stage = "stages/sd2-tiny.safetensors";
      await copy("pipelines/sd2-tiny", stage);
      const encoding = () => golden("--only", "stages/sd2-tiny/vae.encode.square");
      expect((await encoding()).code).toBe(0);
      await replace(at(stage), '"posterior_seed":"1010"', '"posterior_seed":"1011"');
      expect((await encoding()).text).toContain("first out: sampled: ");
      await replace(at(stage), '"posterior_seed":"1011"', '"posterior_note":"1011"');
      expect((await encoding()).text).toContain(
        "metadata must hold posterior_seed, a whole number, got none",
      );
    }));

  it("ends with 1 if a golden tensor is one that this build does not compute", () =>
    fresh(async () => {
      await copy(...tiny);
      await replace(at(tiny[1]!), "encode.wide.latents", "encode.wide.latentz");
      const { code, text } = await golden();
      expect(text).toContain("latentz: is in the golden data, but this build does not compute it");
      expect(code).toBe(1);
    }));

  it.each([
    ["a stage's weight file", "pipelines/taesd-tiny/diffusion_pytorch_model.safetensors"],
    ["a stage's part", "pipelines/taesd-tiny"],
    ["a run's image", "runs/sd2-tiny/no-negative.png"],
    ["a run's request", "runs/sd2-tiny/no-negative.json"],
    ["a run's tensor file", "runs/sd2-tiny/no-negative.safetensors"],
    ["a run's vocabulary", "pipelines/sd2-tiny/tokenizer/vocab.json"],
  ])("ends with 1 if %s is absent", (_, name) =>
    fresh(async () => {
      await copy(...tiny, "pipelines/sd2-tiny", ...run);
      await rm(at(name), { recursive: true });
      const { code, text } = await golden();
      expect(text).toContain("FAIL");
      expect(code).toBe(1);
    }),
  );

  it("ends with 1 if CLIP's vocabulary is not beside a folder with tokens-clip.json", () =>
    fresh(async () => {
      await copy("tokens.json", "pipelines/sd2-tiny", "pipelines/koala-1b-tiny");
      expect((await golden()).code).toBe(0);
      await cp(at("tokens.json"), at("tokens-clip.json"));
      const { code, text } = await golden();
      expect(text).toContain("inputs absent: CLIP's vocabulary");
      expect(code).toBe(1);
    }));

  it("ends with 1 on an empty folder, on none, and if --only matches nothing", () =>
    fresh(async () => {
      expect((await golden()).code).toBe(1);
      await copy(...tiny);
      expect((await golden("--only", "taesd")).code).toBe(0);
      expect((await golden("--only", "stages/*/decode.odd")).text).toContain("1 ok");
      expect((await golden("--only", "stages/*/decode")).code).toBe(1);
      expect(await main([at("absent")], () => {})).toBe(1);
    }));

  it("ends with 1 if a run's request has an argument that this build does not know", () =>
    fresh(async () => {
      await mkdir(at("runs/any"), { recursive: true });
      const run = { folder: "pipelines/any", pipeline: "StableDiffusionXLPipeline", call: {} };
      const request = { ...run, generator: { seeds: [1] }, controlnet: "any" };
      await writeFile(at("runs/any/one.json"), JSON.stringify(request));
      const { code, text } = await golden();
      expect(text).toContain("its request is not understood: controlnet: is not a field here.");
      expect(text).toContain("0 ok, 1 FAIL");
      expect(code).toBe(1);
    }));

  it("gives its exit code to the shell", () =>
    fresh(async () => {
      const tool = fileURLToPath(new URL("../golden/main.ts", import.meta.url));
      const code = await new Promise((resolve) => {
        const child = execFile(process.execPath, ["--import", "tsx", tool, folder], () => {});
        child.on("exit", resolve);
      });
      expect(code).toBe(1);
    }));

  it("refuses to read an expectation as an input", async () => {
    const file = await openGolden(path.join(data, tiny[1]!), (name) => name.endsWith(".input"));
    expect((await file.input("decode.odd.input")).shape).toHaveLength(4);
    await expect(file.input("decode.odd.sample")).rejects.toThrow("is an expectation");
  });
});
