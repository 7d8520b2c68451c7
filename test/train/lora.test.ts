/** @file LoRA as a job: what is trained and kept, the file against the loader's merged weights, gradients against those of all weights. */

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { Generator } from "../../src/diffusion/random.js";
import { schedulerFromConfig } from "../../src/diffusion/schedulers/registry.js";
import { floats, floatsOf, type Values } from "../../src/engine/engine.js";
import { blockingEngine } from "../../src/engine/ort/blocking-engine.js";
import { inputsByName, unetInputs } from "../../src/models/trace.js";
import { unetConfig } from "../../src/models/unet-config.js";
import { loadComponents } from "../../src/pipeline/components.js";
import { DiffusionPipeline } from "../../src/pipeline/pipeline.js";
import type { Shape } from "../../src/tensor/tensor.js";
import { checkpointFolder } from "../../src/train/checkpoint.js";
import { type DistillOptions, distill } from "../../src/train/distill.js";
import { exportModel } from "../../src/train/export.js";
import { type FinetuneOptions, finetune } from "../../src/train/finetune.js";
import { checkpointedProgram } from "../../src/train/gradient-checkpointing.js";
import { layoutOf, wholeProgram } from "../../src/train/gradient-program.js";
import { unetNetwork, unetWeights } from "../../src/train/initialisation.js";
import { stagePaths } from "../../src/train/layer-mapping.js";
import { stepTargets } from "../../src/train/lora/options.js";
import { frozenWeights, tracedWeights } from "../../src/train/lora/weights.js";
import { ParameterBuffer } from "../../src/train/parameter-buffer.js";
import { randomWeights } from "../../src/train/random-weights.js";
import { studentTrace } from "../../src/train/step.js";
import { targetNetwork } from "../../src/train/step-distillation/target-network.js";
import { readFloats, resolveWeights } from "../../src/weights/component.js";
import { openLora } from "../../src/weights/lora.js";
import { openSafetensors } from "../../src/weights/safetensors-file.js";
import { done, students } from "../distill-command.js";
import { makeTestImages } from "../test-images.js";

vi.setConfig({ testTimeout: 600_000 }); // several runs in one test

const scratch = mkdtempSync(path.join(tmpdir(), "koala-lora-"));
afterAll(() => rmSync(scratch, { recursive: true }));
const at = (name: string) => path.join(scratch, name);
const tiny = new URL("../../golden/data/pipelines/sdxl-tiny", import.meta.url).pathname;
const model = at("small");
const config = unetConfig(students.small);
const engine = blockingEngine({ threads: 1 });
const fileOf = (output: string) => path.join(at(output), "pytorch_lora_weights.safetensors");
const stateOf = (output: string) => path.join(checkpointFolder(at(output), 3), "state.safetensors");

const run = (output: string) => ({
  ...{ data: at("images"), output: at(output), cacheFolder: at("cache") },
  ...{ resolution: 32, trainBatchSize: 2, maxTrainSteps: 3, learningRate: 1e-2, threads: 1 },
});

/** SDXL's smallest model with a U-Net of two stages. */
beforeAll(async () => {
  await makeTestImages(at("images"), 4);
  const shapes = unetWeights(config);
  const layout = new ParameterBuffer(shapes);
  const weights = layout.tensors(randomWeights(layout, shapes, new Generator(3)));
  await exportModel({ teacher: tiny, unetConfig: students.small, weights, output: model });
});

/** Inputs of a U-Net at a size, drawn. */
function drawn(shapes: Iterable<readonly [string, Shape]>): Record<string, Values> {
  const generator = new Generator(5);
  const values = Array.from(shapes, ([name, shape]) => {
    const data = generator.normal(shape.reduce((a, b) => a * b, 1));
    return [name, floats(data, ...shape)] as const;
  });
  return { ...Object.fromEntries(values), timestep: floats(Float32Array.of(40, 900), 2) };
}

const furthest = (a: Float32Array, b: Float32Array) => {
  const largest = Math.max(...b.map(Math.abs));
  return Math.max(...a.map((x, i) => Math.abs(x - b[i]!))) / largest;
};

/** The norm of the difference, of b's. */
const apart = (a: Float32Array, b: Float32Array) => norm(a.map((x, i) => x - b[i]!)) / norm(b);
const norm = (x: Float32Array) => Math.sqrt(x.reduce((sum, v) => sum + v * v, 0));

describe("fine-tuning of U-Net and text encoders", () => {
  const given = (output: string): FinetuneOptions => ({
    ...{ ...run(output), model, textEncoders: true, ema: {} },
    lora: { rank: 4, alpha: 2, targets: ["to_q", "to_k", "to_v", "to_out.0", "conv1"] },
  });

  it("goes on bit for bit, its checkpoints holding the LoRA alone", async () => {
    await finetune({ ...given("whole"), validationSteps: 3, validationPrompts: ["a red circle"] });
    const stop = new AbortController();
    const onEvent = ({ type }: { type: string }) => void (type === "step" && stop.abort());
    await finetune({ ...given("stopped"), signal: stop.signal, onEvent });
    await finetune({ ...given("stopped"), resume: true });
    expect(readFileSync(stateOf("stopped"), "base64")).toBe(readFileSync(stateOf("whole"), "base64"));
    const { tensors } = await openSafetensors(stateOf("whole"));
    expect([...tensors.keys()].filter((name) => !/\.lora_[AB]\.weight$/.test(name))).toEqual([]);
    const parts = new Set([...tensors.keys()].map((name) => name.split(".")[0]));
    for (const part of ["weights/unet", "square/text_encoder", "average/text_encoder_2"])
      expect(parts).toContain(part);
  });

  it("gives a file in PEFT's names, with its alpha and what it was trained on, and images from it", async () => {
    const { tensors, metadata } = await openSafetensors(fileOf("whole"));
    expect(
      [...tensors.keys()].every((name) => /^(unet|text_encoder(_2)?)\..+\.lora_[AB]\.weight$/.test(name)),
    ).toBe(true);
    expect(JSON.parse(metadata.lora_adapter_metadata!)).toMatchObject({
      ...{ "unet.r": 4, "unet.lora_alpha": 2 },
      "text_encoder_2.target_modules": ["q_proj", "k_proj", "v_proj", "out_proj"],
    });
    expect(JSON.parse(metadata.koala_training!)).toMatchObject({
      command: "train",
      model: "small",
      data: "images",
    });
    const { layers, notes, unknown } = await openLora(fileOf("whole"));
    expect([notes, unknown]).toEqual([[], []]);
    expect(new Set(layers.map(({ scale }) => scale))).toEqual(new Set([0.5]));
    expect(await readdir(path.join(at("whole"), "samples", "step-000003"))).toContain("0.png");
    expect(await readdir(at("whole"))).not.toContain("unet");
  });

  it("is refused beside random weights, a wrong target and a cut student, by name", async () => {
    await expect(finetune({ ...given("refused"), fromScratch: true })).rejects.toThrow(
      "lora: has no effect with fromScratch",
    );
    await expect(finetune({ ...given("refused"), lora: { targets: ["to_x"] } })).rejects.toThrow(
      "lora.targets: must name",
    );
    const cut: DistillOptions = { ...run("refused"), teacher: model, student: "koala-700m", lora: {} };
    await expect(distill(cut)).rejects.toThrow('lora: needs the student "teacher"');
    const embedded = { ...run("refused"), teacher: model, lora: {}, consistency: { timeCondProjDim: 8 } };
    await expect(distill(embedded)).rejects.toThrow("consistency.timeCondProjDim: must be null with lora");
  });
});

describe("a LoRA of consistency distillation", () => {
  it("adapts by a command all layers that LCM-LoRAs do, with a target network of its own", async () => {
    const data = ["--data", at("images"), "--cache", at("cache"), "--output", at("lcm")];
    const sizes = [
      "--resolution",
      "32",
      "--batch-size",
      "2",
      "--steps",
      "3",
      "--lr",
      "1e-2",
      "--threads",
      "1",
    ];
    const lora = [
      "--consistency",
      "ema-decay=0.5",
      "--lora",
      "rank=3,names=kohya",
      "--gradient-checkpointing",
    ];
    await done("distill", "--teacher", model, ...lora, ...data, ...sizes);
    const names = [...(await openSafetensors(fileOf("lcm"))).tensors.keys()];
    for (const target of stepTargets) {
      const ending = `_${target.replaceAll(".", "_")}.lora_down.weight`;
      expect(
        names.some((name) => name.endsWith(ending)),
        target,
      ).toBe(true);
    }
    expect(names.filter((name) => !/^lora_unet_.+\.(lora_(down|up)\.weight|alpha)$/.test(name))).toEqual([]);
    const state = await openSafetensors(stateOf("lcm"));
    expect([...state.tensors.keys()].some((name) => name.startsWith("target/down_blocks.0"))).toBe(true);
  });

  it("says in its file how it is sampled, and a pipeline with it warns of another scheduler", async () => {
    const pipe = await DiffusionPipeline.fromPretrained(model, { engine, loras: [{ file: fileOf("lcm") }] });
    const request = { prompt: "a cat", seed: 1, width: 32, height: 32 };
    const { images, warnings } = await pipe.generate(request);
    expect(images[0]!.metadata).toMatchObject({ numInferenceSteps: 4, guidanceScale: 0 });
    expect([pipe.scheduler.className, warnings]).toEqual(["LCMScheduler", []]);
    pipe.scheduler = schedulerFromConfig({ _class_name: "DDIMScheduler" });
    expect((await pipe.generate(request)).warnings).toEqual([
      "pytorch_lora_weights.safetensors: was distilled for LCMScheduler in 4 steps with a guidance scale of 0, got DDIMScheduler, so the image will be worse",
    ]);
    await pipe.close();
    const plain = await loadComponents(model, { engine, loras: [{ file: fileOf("lcm"), scale: 0 }] });
    expect(plain.scheduler.className).not.toBe("LCMScheduler");
  });

  it("predicts, beside the weights, what the loader's merged weights predict", async () => {
    const all = { rank: 3, alpha: 3, targets: stepTargets, names: "kohya", dtype: "float32" } as const;
    const weights = tracedWeights(unetNetwork(config), all);
    const layout = layoutOf({ params: weights.trained });
    const base = { weights: await resolveWeights(path.join(model, "unet")), file: "unet" };
    const size = { batch: 2, height: 8, width: 8, tokens: 77 };
    const trained = new Float32Array(layout.total);
    const state = await openSafetensors(stateOf("lcm"));
    for (const path of layout.slices.keys())
      layout.view(trained, path).set(await state.readFloats(`weights/${path}`));
    const frozen = frozenWeights(base, weights);
    const beside = await targetNetwork(engine, config, { size, layout, lora: all, files: frozen });
    const shapes = [...inputsByName(unetInputs(config, size, { fixed: true }))].map(
      ([n, t]) => [n, t.shape] as const,
    );
    const inputs = drawn(shapes);
    const predicted = await beside.run(trained, inputs);

    const merged = async (loras: { file: string }[]) => {
      const { unet } = await loadComponents(model, { engine, loras });
      const session = await unet.component.session("unet", unet.trace, size);
      const [result] = Object.values(await session.run(inputs));
      return floatsOf(result);
    };
    expect(furthest(predicted, await merged([{ file: fileOf("lcm") }]))).toBeLessThan(1e-5);
    expect(furthest(predicted, await merged([]))).toBeGreaterThan(1e-3);
  });

  it("has the gradients that follow from those of the merged weights, checkpointed too", async () => {
    const all = { rank: 2, alpha: 3, targets: stepTargets, names: "kohya", dtype: "float32" } as const;
    const size = { batch: 2, height: 8, width: 8, tokens: 5 };
    const watch = stagePaths(config);
    const base = { weights: await resolveWeights(path.join(model, "unet")), file: "unet" };
    const options = { weights: { task: 1, out: 0, feat: 0 }, watch };
    const beside = studentTrace(config, [], size, { ...options, lora: all });
    const whole = studentTrace(config, [], size, options);
    const [own, every] = [layoutOf(beside), layoutOf(whole)];
    const inputs = drawn([...beside.inputs].map(([name, t]) => [name, t.shape] as const));
    const generator = new Generator(2);
    const trained = generator.normal(own.total).map((x) => 0.1 * x);
    const fused = new Float32Array(every.total);
    for (const path of every.slices.keys()) every.view(fused, path).set(await readFloats(base.weights, path));
    const pairs = [...own.slices]
      .filter(([path]) => path.endsWith("lora_A.weight"))
      .map(([path, { shape }]) => {
        const layer = path.replace(/\.lora_A\.weight$/, "");
        const [a, b] = [own.view(trained, path), own.view(trained, `${layer}.lora_B.weight`)];
        const [rank, width] = [shape[0]!, a.length / shape[0]!];
        const out = b.length / rank;
        const weight = every.view(fused, `${layer}.weight`);
        for (let i = 0; i < weight.length; i++)
          for (let r = 0; r < rank; r++)
            weight[i]! += 1.5 * b[Math.floor(i / width) * rank + r]! * a[r * width + (i % width)]!;
        return { layer, a, b, rank, width, out };
      });

    const lossOf = (trace: typeof beside) => ({
      params: trace.params,
      outputs: { ...trace.outputs, total: trace.losses.total },
    });
    const frozen = frozenWeights(base, tracedWeights(unetNetwork(config), all));
    const borders = watch.map((path) => beside.at.get(path)!);
    const gradientOf = async (program: Awaited<ReturnType<typeof wholeProgram>>, weights: Float32Array) => {
      const into = new Float32Array(weights.length);
      const { total } = await program.run(weights, inputs, into);
      await program.release();
      return { into, total: total![0]! };
    };
    const full = await gradientOf(await wholeProgram(engine, lossOf(whole), every), fused);
    const one = await gradientOf(await wholeProgram(engine, { ...lossOf(beside), frozen }, own), trained);
    const cut = { ...lossOf(beside), frozen };
    const two = await gradientOf(await checkpointedProgram(engine, cut, own, borders), trained);
    expect(one.total / full.total).toBeCloseTo(1, 5);
    expect(apart(two.into, one.into)).toBeLessThan(1e-5);
    // W' = W + s B A: dB = s dW' Aᵀ, dA = s Bᵀ dW'.
    const expected = new Float32Array(own.total);
    for (const { layer, a, b, rank, width, out } of pairs) {
      const dW = every.view(full.into, `${layer}.weight`);
      const [dA, dB] = ["A", "B"].map((name) => own.view(expected, `${layer}.lora_${name}.weight`));
      for (let o = 0; o < out; o++)
        for (let r = 0; r < rank; r++)
          for (let j = 0; j < width; j++) {
            dB![o * rank + r]! += 1.5 * dW[o * width + j]! * a[r * width + j]!;
            dA![r * width + j]! += 1.5 * b[o * rank + r]! * dW[o * width + j]!;
          }
    }
    expect(apart(one.into, expected)).toBeLessThan(1e-5);
  });
});
