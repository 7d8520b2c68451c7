/** @file Training of a U-Net by the task loss, with or without its text encoders, as a training task. */

import { Generator } from "../diffusion/random.js";
import { longs, type Values } from "../engine/engine.js";
import type { BlockingEngine } from "../engine/ort/blocking-engine.js";
import { type ClipConfig, clipText } from "../models/clip.js";
import { inputsByName, unetInputs } from "../models/trace.js";
import { type UnetInputs, unet } from "../models/unet.js";
import type { UNetConfig } from "../models/unet-config.js";
import type { TextEncoder } from "../pipeline/text-encoding.js";
import { concat, input, mul } from "../tensor/operations.js";
import type { Params } from "../tensor/params.js";
import type { Shape, Tensor } from "../tensor/tensor.js";
import { readFloats, type WeightSet } from "../weights/component.js";
import { joined, renamed } from "../weights/weight-set.js";
import { type NoisyBatch, noisyBatch } from "./batches.js";
import type { LatentCache } from "./cache/cache.js";
import { stepProgram } from "./data-parallel.js";
import { checkpointedProgram } from "./gradient-checkpointing.js";
import { layoutOf, type TracedLoss } from "./gradient-program.js";
import { stagePaths } from "./layer-mapping.js";
import { trainedParams } from "./lora/adapter.js";
import {
  checkTargets,
  type FrozenWeights,
  frozenWeights,
  initialiseLora,
  type TracedWeights,
} from "./lora/weights.js";
import { distillationLoss, lossOutputs } from "./loss.js";
import type { TrainingNoise } from "./noise.js";
import type { TrainingOptions } from "./options.js";
import type { ParameterBuffer } from "./parameter-buffer.js";
import { randomWeight } from "./random-weights.js";
import type { StepSize } from "./step.js";
import { type StepProgram, StepPrograms } from "./step-programs.js";
import type { TrainingTask } from "./trainer.js";

export type FinetuningSetup = Pick<TrainingTask, "description" | "save" | "generateSamples"> & {
  engine: BlockingEngine;
  options: TrainingOptions;
  unet: { config: UNetConfig; weights: WeightSet | undefined };
  /** Text encoders that are trained as well; with none, their embeddings come from the cache. */
  encoders: readonly (TextEncoder & { weights: WeightSet | undefined })[];
  schedule: TrainingNoise;
  cache: LatentCache;
};

/** Weights without a file begin as random numbers. Paths are `unet.PATH`, `text_encoder.PATH`, `text_encoder_2.PATH`. */
export function finetuningTask(setup: FinetuningSetup): TrainingTask {
  const { engine, options, schedule, cache, encoders, description, save, generateSamples } = setup;
  const configs = encoders.map(({ config }) => config);
  const tiny = { batch: 1, height: 8, width: 8, tokens: cache.textShape[0] };
  const { weights } = finetuningTrace(setup.unet.config, configs, tiny, options);
  if (options.lora) checkTargets(options.lora, weights);
  const layout = layoutOf({ params: weights.trained });
  const network = { unet: setup.unet.config, encoders: configs, layout, frozen: frozenOf(setup, weights) };
  const programs = new StepPrograms((size) => makeProgram(engine, network, size, options));
  return {
    description,
    save,
    ...(generateSamples && { generateSamples }),
    layout,
    initialise: async (weights) =>
      options.lora ? initialiseLora(weights, layout, options.seed) : initialise(weights, layout, setup),
    release: () => programs.release(),
    gradient: async (at, weights, into) => {
      const batch = await noisyBatch(cache, schedule, options, at);
      const [rows, , height, width] = batch.inputs.sample!.shape as [number, number, number, number];
      const program = await programs.of({ batch: rows, height, width, tokens: cache.textShape[0] });
      const given = { ...batch.inputs, ...tokensOf(encoders, batch, options) };
      const terms = await program.run(weights, given, into);
      return { terms: { total: terms.total![0]!, task: terms.task![0]! }, images: rows, next: batch.next };
    },
  };
}

/** The weights of one component among those of a run, under the component's own paths. */
export function componentWeights(
  layout: ParameterBuffer,
  parameters: Float32Array,
  component: string,
): Map<string, { shape: Shape; data: Float32Array }> {
  const own = [...layout.tensors(parameters)].filter(([path]) => path.startsWith(`${component}.`));
  return new Map(own.map(([path, tensor]) => [path.slice(component.length + 1), tensor]));
}

export const textEncoderName = (i: number): string => (i === 0 ? "text_encoder" : `text_encoder_${i + 1}`);
const idsOf = (i: number) => (i === 0 ? "ids" : `ids_${i + 1}`);

/** Where the weights lie beside which a LoRA is trained. */
function frozenOf({ unet, encoders }: FinetuningSetup, weights: TracedWeights): FrozenWeights | undefined {
  const sets = [
    ["unet", unet.weights] as const,
    ...encoders.map((e, i) => [textEncoderName(i), e.weights] as const),
  ];
  const named = sets.flatMap(([part, set]) => (set ? [renamed(set, (name) => `${part}.${name}`)] : []));
  return frozenWeights({ weights: joined(...named), file: "the model" }, weights);
}

type FinetuningTrace = TracedLoss & {
  weights: TracedWeights;
  inputs: ReadonlyMap<string, Tensor>;
  at: ReadonlyMap<string, Tensor>;
};

/** Traces text encoders, if any, U-Net and task loss at a fixed size. */
function finetuningTrace(
  c: UNetConfig,
  encoders: readonly ClipConfig[],
  size: StepSize,
  { snrGamma, lora }: TrainingOptions,
): FinetuningTrace {
  const weights: TracedWeights = { trained: new Map(), frozen: new Map() };
  const at = new Map<string, Tensor>();
  const root = trainedParams(lora, weights.trained, weights.frozen).watched(
    (path, x) => void at.set(path, x),
  );
  const given = unetInputs(c, size, { fixed: true });
  const inputs = inputsByName(given);
  const another = (name: string, shape: Shape, dtype: "float32" | "int64" = "float32") => {
    const made = input(name, shape, dtype);
    inputs.set(name, made);
    return made;
  };
  const embedded = encoders.length === 0 ? {} : embed(root, encoders, size, given, inputs, another);
  const output = unet(root.at("unet"), c, { ...given, ...embedded });
  const losses = distillationLoss({
    output,
    target: another("target", output.shape),
    ...(snrGamma !== null && { taskWeights: another("task_weights", [size.batch]) }),
    weights: { task: 1, out: 0, feat: 0 },
  });
  const outputs = { ...lossOutputs(losses), total: losses.total };
  return { params: weights.trained, weights, inputs, at, outputs };
}

type Another = (name: string, shape: Shape, dtype?: "float32" | "int64") => Tensor;

/** Replaces the cache's embeddings by the encoders'; a dropped caption's are multiplied by 0. */
function embed(
  root: Params,
  encoders: readonly ClipConfig[],
  { batch }: StepSize,
  { addedCondKwargs: added }: UnetInputs,
  inputs: Map<string, Tensor>,
  another: Another,
): Pick<UnetInputs, "encoderHiddenStates" | "addedCondKwargs"> {
  for (const name of ["encoder_hidden_states", "text_embeds"]) inputs.delete(name);
  const encoded = encoders.map((c, i) =>
    clipText(root.at(textEncoderName(i)), c, another(idsOf(i), [batch, c.maxTokens], "int64")),
  );
  const states = encoded.map(({ hidden, last }) => (encoders.length > 1 ? hidden.at(-2)! : last));
  const text = states.length > 1 ? concat(states, 2) : states[0]!;
  const encoderHiddenStates = mul(text, another("text_kept", [batch, 1, 1]));
  if (!added) return { encoderHiddenStates };
  const projected = encoded.at(-1)!;
  const pooled = projected.textEmbeds ?? projected.pooled;
  const textEmbeds = mul(pooled, another("pooled_kept", [batch, 1]));
  return { encoderHiddenStates, addedCondKwargs: { ...added, textEmbeds } };
}

function tokensOf(
  encoders: FinetuningSetup["encoders"],
  { words, dropped }: NoisyBatch,
  { captionDropoutRule }: TrainingOptions,
): Record<string, Values> {
  const n = words.length;
  const empty = captionDropoutRule === "empty-string";
  const texts = words.map((text, i) => (empty && dropped[i]!.text ? "" : text));
  const ids = encoders.map(({ tokenizer, config }, i) => {
    const rows = texts.flatMap((text) => [...tokenizer.encode(text, { maxLength: config.maxTokens }).ids]);
    return [idsOf(i), longs(rows, n, config.maxTokens)] as const;
  });
  const kept = (which: "text" | "pooled") => Float32Array.from(dropped, (d) => (!empty && d[which] ? 0 : 1));
  return {
    ...Object.fromEntries(ids),
    text_kept: { data: kept("text"), shape: [n, 1, 1] },
    pooled_kept: { data: kept("pooled"), shape: [n, 1] },
  };
}

/** What is run, the layout of its trained weights, and where the others lie. */
type Network = {
  unet: UNetConfig;
  encoders: readonly ClipConfig[];
  layout: ParameterBuffer;
  frozen: FrozenWeights | undefined;
};

async function makeProgram(
  engine: BlockingEngine,
  { unet: c, encoders, layout, frozen }: Network,
  size: StepSize,
  options: TrainingOptions,
): Promise<StepProgram> {
  const { dataParallel: parts } = options;
  const trace = finetuningTrace(c, encoders, { ...size, batch: size.batch / parts }, options);
  const [loss, inputs] = [{ ...trace, frozen }, [...trace.inputs.keys()]];
  if (!options.gradientCheckpointing)
    return { program: await stepProgram(engine, loss, layout, parts), inputs };
  const borders = stagePaths(c).map((path) => trace.at.get(`unet.${path}`)!);
  return { program: await checkpointedProgram(engine, loss, layout, borders), inputs };
}

async function initialise(
  weights: Float32Array,
  layout: ParameterBuffer,
  { unet, encoders, options }: FinetuningSetup,
): Promise<void> {
  const shapes = new Map([...layout.slices].map(([path, { shape }]) => [path, shape]));
  const files = new Map<string, WeightSet | undefined>([
    ["unet", unet.weights],
    ...encoders.map((e, i) => [textEncoderName(i), e.weights] as const),
  ]);
  const generator = new Generator(options.seed);
  for (const path of layout.slices.keys()) {
    const [part, own] = [path.slice(0, path.indexOf(".")), path.slice(path.indexOf(".") + 1)];
    const file = files.get(part);
    layout
      .view(weights, path)
      .set(file ? await readFloats(file, own) : randomWeight(path, shapes, generator));
  }
}
