/** @file What becomes of flagged images: by the folder's checker, by one that is named, and without one. `golden/safety.ts` has the numbers. */

import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { GoldenLayers } from "../../golden/conformance/layers.js";
import { Generator } from "../../src/diffusion/random.js";
import { blockingEngine } from "../../src/engine/ort/blocking-engine.js";
import { FlaggedImageError } from "../../src/errors.js";
import { blurred } from "../../src/image/blur.js";
import { convertModel } from "../../src/pipeline/convert/convert.js";
import type { LoadOptions } from "../../src/pipeline/load-options.js";
import { readRequest } from "../../src/pipeline/metadata/read.js";
import { DiffusionPipeline } from "../../src/pipeline/pipeline.js";
import { otherParts } from "../../src/train/export-components.js";
import { readTensor, resolveWeights } from "../../src/weights/component.js";
import { openFolder } from "../../src/weights/folder.js";
import { checkedModel } from "../safety-models.js";

const data = new URL("../../golden/data", import.meta.url).pathname;
const layers = new GoldenLayers([data]);
const scratch = mkdtempSync(path.join(tmpdir(), "koala-safety-"));
const engine = blockingEngine({ threads: 1 });
/** An SD 2 folder whose checker flags the second image of the golden run. */
const model = path.join(scratch, "sd2");

beforeAll(async () => {
  const replaced = await resolveWeights(path.join(data, "runs/safety/run.overrides.safetensors"));
  await checkedModel(layers, model, async (name, own) =>
    replaced.tensors.has(name) ? { ...own, data: await readTensor(replaced, name) } : own,
  );
});
afterAll(async () => {
  rmSync(scratch, { recursive: true });
  await layers.close();
});

const { call } = JSON.parse(readFileSync(path.join(data, "runs/safety/run.json"), "utf8"));
/** The golden run, of whose two images the second is flagged. */
const request = () => ({
  ...{ prompt: call.prompt, negativePrompt: call.negative_prompt, width: 64, height: 64 },
  ...{ numInferenceSteps: 3, guidanceScale: 7.5, numImagesPerPrompt: 2, generator: new Generator(42n) },
  onWarning: () => {},
});
const open = (folder: string, options: LoadOptions = {}) =>
  DiffusionPipeline.fromPretrained(folder, { engine, ...options });

describe("a folder that ships a safety checker", () => {
  it("blurs flagged images by default, says so once, and leaves the others and their files' pixels", async () => {
    const pipe = await open(model);
    const notices: string[] = [];
    const warnings: string[] = [];
    const said = { onNotice: (m: string) => notices.push(m), onWarning: (m: string) => warnings.push(m) };
    const { images } = await pipe.generate({ ...request(), ...said });
    const { images: unchecked } = await pipe.generate({ ...request(), ...said, safety: "off" });
    expect(images.map(({ flagged }) => flagged)).toEqual([false, true]);
    expect(images[0]!.data).toEqual(unchecked[0]!.data);
    expect(images[1]!.data).not.toEqual(unchecked[1]!.data);
    expect(notices).toEqual(["images are checked: flagged ones are blurred (safety: blur)"]);
    expect(warnings).toEqual(["safety: the safety checker flagged 1 of 2 images, so it is blurred"]);
    expect(images.map((image) => image.warnings)).toEqual([
      [],
      ["safety: the safety checker flagged this image, so it is blurred"],
    ]);
    expect(images.map(({ metadata }) => metadata!.safety)).toEqual(["blur", "blur"]);
    expect(unchecked[1]!.metadata).toMatchObject({ safety: "off" });
    // Blurred: no two neighbors differ by much, where the image is noise of random weights.
    const steps = (data: Uint8Array) => Math.max(...data.slice(3).map((v, i) => Math.abs(v - data[i]!)));
    expect(steps(images[1]!.data)).toBeLessThan(steps(unchecked[1]!.data) / 2);
  });

  it("gives none of the images where one is flagged and refusing was asked for", async () => {
    const pipe = await open(model);
    const refused = pipe.generate({ ...request(), safety: "refuse" });
    await expect(refused).rejects.toThrow(FlaggedImageError);
    await expect(refused).rejects.toThrow("got 1 of 2 images flagged.");
    await expect(refused).rejects.toMatchObject({ flagged: [1] });
  });

  it("is opened without it by null, and then cannot be asked to check", async () => {
    const pipe = await open(model, { safetyChecker: null });
    const { images } = await pipe.generate(request());
    expect(images.map(({ flagged }) => flagged)).toEqual([false, false]);
    expect(images[0]!.metadata!.safety).toBeUndefined();
    await expect(pipe.generate({ ...request(), safety: "blur" })).rejects.toThrow(
      "safety: must be off, since the model was opened without a safety checker, got blur.",
    );
  });

  it("opens without the checker that was not downloaded, and says that nothing is checked", async () => {
    const without = path.join(scratch, "without");
    cpSync(model, without, { recursive: true });
    rmSync(path.join(without, "safety_checker"), { recursive: true });
    const pipe = await open(without);
    const notices: string[] = [];
    await pipe.generate({ ...request(), onNotice: (m) => notices.push(m) });
    expect(notices[0]).toBe("images are not checked: the model ships no safety checker");
  });

  it("has previews blurred, since they are not checked", async () => {
    const pipe = await open(model);
    const first = async (safety: "off" | "blur") => {
      const run = pipe.stream({ ...request(), safety });
      const step = await run.next();
      const images = step.done ? [] : await step.value.preview();
      await run.return(undefined as never);
      return images[0]!;
    };
    const [plain, checked] = [await first("off"), await first("blur")];
    expect(checked.data).toEqual(blurred(plain).data);
  });
});

describe("a model that ships none", () => {
  it("takes a named one, which its images record and --from repeats", async () => {
    const pipe = await open(path.join(data, "pipelines/koala-700m-tiny"), { safetyChecker: model });
    const seeded = await pipe.generate({ prompt: "a", width: 64, height: 64, numInferenceSteps: 1, seed: 3 });
    expect(seeded.images[0]!.metadata!.model.safetyChecker).toMatchObject({ name: "sd2" });
    const file = path.join(scratch, "one.png");
    await seeded.images[0]!.save(file);
    expect((await readRequest(file)).request.safety).toBe("blur");
  });

  it("refuses a folder that holds no checker, by name", async () => {
    const folder = path.join(data, "pipelines/sd2-tiny/vae");
    await expect(open(model, { safetyChecker: folder })).rejects.toThrow(
      "_class_name: must be StableDiffusionSafetyChecker",
    );
  });
});

describe("a copy of a folder that ships a safety checker", () => {
  /** The checker's tensors but the numbers of its positions, which are no weights. */
  const checkerOf = async (folder: string) => {
    const set = await resolveWeights(path.join(folder, "safety_checker"));
    const names = [...set.tensors.keys()].filter((name) => !name.endsWith("position_ids")).sort();
    return Promise.all(
      names.map(async (name) => [name, set.tensors.get(name)!.dtype, await readTensor(set, name)]),
    );
  };

  it("keeps the checker as it is stored where it is converted to another type, and says where it cannot", async () => {
    writeFileSync(path.join(model, "LICENSE.md"), "theirs");
    const [folder, file] = [path.join(scratch, "half"), path.join(scratch, "half.safetensors")];
    const { warnings } = await convertModel(model, folder, { engine, precision: "float16" });
    expect(warnings).toEqual([]);
    expect(await checkerOf(folder)).toEqual(await checkerOf(model));
    const settings = "feature_extractor/preprocessor_config.json";
    const [index, before] = [folder, model].map((at) =>
      JSON.parse(readFileSync(path.join(at, "model_index.json"), "utf8")),
    );
    for (const part of ["safety_checker", "feature_extractor"]) expect(index[part]).toEqual(before[part]);
    for (const name of [settings, "LICENSE.md"])
      expect(readFileSync(path.join(folder, name))).toEqual(readFileSync(path.join(model, name)));

    const single = await convertModel(folder, file, { engine });
    expect(single.warnings).toEqual([
      expect.stringContaining("safety_checker: is left out, since a single file"),
    ]);
    await convertModel(file, path.join(scratch, "again"), { engine, config: model, safetyChecker: model });
    expect(await checkerOf(path.join(scratch, "again"))).toEqual(await checkerOf(model));
    const without = await convertModel(model, path.join(scratch, "unchecked"), {
      engine,
      safetyChecker: null,
    });
    expect(without.warnings).toEqual([]);
    expect(readdirSync(path.join(scratch, "unchecked"))).not.toContain("safety_checker");
  });

  it("keeps it where a student is trained from it", async () => {
    const taken = (await otherParts(await openFolder(model), new Set(), undefined)).map(({ to }) => to);
    expect(taken).toEqual(
      expect.arrayContaining([
        ...["safety_checker/config.json", "safety_checker/model.safetensors"],
        "feature_extractor/preprocessor_config.json",
      ]),
    );
  });
});
