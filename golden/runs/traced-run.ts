/** @file Generates a golden run and keeps every tensor on the way, under Diffusers' names. */

import { unscaledLatents } from "../../src/diffusion/posterior.js";
import { floats, floatsOf, type Values } from "../../src/engine/engine.js";
import { firstEmbeddings, timeIds } from "../../src/pipeline/conditioning.js";
import type { GenerateResult, Prepared, Step } from "../../src/pipeline/generate-result.js";
import type { DiffusionPipeline } from "../../src/pipeline/pipeline.js";
import { made, type Tensor } from "../../src/tensor/tensor.js";
import { type Computed, type Context, type TensorData, tensorData } from "../conformance/check.js";
import { runOnce } from "../stages/networks.js";
import { type OpenPipeline, type RunInputs, requestOf } from "./request.js";

/** From prompt to image; tensors come in the order of computing. */
export async function tracedRun(
  run: RunInputs,
  at: string,
  open: OpenPipeline,
  context: Context,
): Promise<Computed> {
  const pipeline = await open(run);
  const encoded = recordEncoder(pipeline);
  const request = await requestOf(run, at, pipeline.components.vae.factor);
  const prepared = await pipeline.prepare(request);
  // Diffusers encodes the same image again for each generator of a list; this build once for all of them.
  const again = run.pipeline.includes("Img2Img") && run.generator.list ? run.generator.seeds.length : 1;
  for (let i = 1; i < again && encoded.size > 0; i++) {
    for (const name of ["image", "moments"])
      encoded.set(`vae_encode.${i}.${name}`, encoded.get(`vae_encode.0.${name}`)!);
  }
  // The embeddings that a run lists are of one length; Diffusers' prompt_embeds need that.
  const embedded =
    request.padConditions === false ? await pipeline.prepare({ ...request, padConditions: true }) : prepared;
  const { timesteps, sigmas } = pipeline.scheduler;
  const steps: Step[] = [];
  const running = pipeline.run(prepared);
  let next = await running.next();
  while (!next.done) {
    steps.push(next.value);
    next = await running.next();
  }
  return new Map<string, TensorData>([
    ...tokenIds(pipeline, prepared),
    ...conditioningTensors(embedded),
    ...encoded,
    ...(await addEmbeddingInput(pipeline, prepared, context)),
    ...Object.entries(prepared.conditioning(0)[0]!.inputs).filter(([name]) => name === "timestep_cond"),
    ["scheduler_timesteps", tensorData(timesteps)],
    ...(sigmas ? [["scheduler_sigmas", tensorData(sigmas)] as const] : []),
    ["initial_latents", tensorData(prepared.latents, ...prepared.shape)],
    ["timesteps", tensorData(steps.map((step) => step.timestep))],
    ...steps.flatMap((step) => stepTensors(step, prepared)),
    ...(await finalTensors(pipeline, prepared, next.value)),
  ]);
}

/** The ids that each encoder is given, by tokenizer and prompt. */
function tokenIds({ components }: DiffusionPipeline, { request }: Prepared): [string, TensorData][] {
  const texts = { prompt: request.prompts, negative_prompt: request.negativePrompts ?? [""] };
  return components.textEncoders.flatMap(({ component, config, tokenizer }) =>
    Object.entries(texts).map(([name, all]): [string, TensorData] => [
      `${component.name.replace("text_encoder", "tokenizer")}.${name}`,
      tensorData(all.flatMap((text) => [...tokenizer.encode(text, { maxLength: config.maxTokens }).ids])),
    ]),
  );
}

function conditioningTensors({ conditions, request }: Prepared): [string, TensorData][] {
  const e = firstEmbeddings(conditions, request.perPrompt);
  // Diffusers makes one row of ids and repeats it for the batch afterwards.
  const first = (ids: Values | undefined) =>
    ids && tensorData(floatsOf(ids).slice(0, ids.shape[1]), 1, ids.shape[1]!);
  const all = {
    prompt_embeds: e.prompt,
    negative_prompt_embeds: e.negative,
    pooled_prompt_embeds: e.pooled,
    negative_pooled_prompt_embeds: e.negativePooled,
    add_time_ids: first(e.timeIds),
    // Diffusers' image-to-image makes these also where there is no second half.
    negative_add_time_ids: first(
      e.negativeTimeIds ?? (e.timeIds && floats(timeIds(request)[1], 1, e.timeIds.shape[1]!)),
    ),
  };
  return Object.entries(all).filter((entry): entry is [string, Values] => entry[1] !== undefined);
}

/** What the first linear layer of the U-Net's add-embedding sees. */
async function addEmbeddingInput(
  { components }: DiffusionPipeline,
  { conditioning }: Prepared,
  { engine }: Context,
): Promise<[string, TensorData][]> {
  const { unet } = components;
  const [group, ...others] = conditioning(0);
  const { text_embeds: text, time_ids: ids } = others.length > 0 ? {} : group!.inputs;
  if (!text || !ids) return [];
  const trace: typeof unet.trace = (p) => ({
    seen: inputOf(unet.trace(p).out!, "add_embedding.linear_1.weight"),
  });
  const { seen } = await runOnce(unet.component, trace, { text_embeds: text, time_ids: ids }, engine);
  return [["add_embedding_input", seen!]];
}

/** What the weight of this path is multiplied with. */
function inputOf(out: Tensor, weight: string): Tensor {
  const [waiting, seen] = [[out], new Set<Tensor>([out])];
  for (let x = waiting.pop(); x; x = waiting.pop()) {
    const [first, second] = x.inputs;
    if (first && second && made("param", second) && second.attrs.path === weight) return first;
    for (const one of x.inputs) {
      if (seen.has(one)) continue;
      seen.add(one);
      waiting.push(one);
    }
  }
  throw new Error(`the network does not use ${weight}`);
}

function stepTensors(step: Step, { shape, inpaint }: Prepared): [string, TensorData][] {
  const { index, latentsIn, modelInput, noisePred, prevSample, predOriginalSample, latents } = step;
  const all = {
    latents_in: latentsIn,
    model_input: modelInput,
    noise_pred: noisePred,
    latents: prevSample,
    denoised: predOriginalSample,
    ...(inpaint && { latents_blended: latents }),
  };
  return Object.entries(all).map(([name, data]) => [`steps.${name}[${index}]`, tensorData(data, ...shape)]);
}

/** Keeps what goes into the autoencoder's encoder and what comes out, each time it is used. */
function recordEncoder(pipeline: DiffusionPipeline): Map<string, TensorData> {
  const seen = new Map<string, TensorData>();
  const encode = pipeline.encodeImage.bind(pipeline);
  pipeline.encodeImage = async (image, tile) => {
    const i = seen.size / 2;
    const moments = await encode(image, tile);
    const { factor } = pipeline.components.vae;
    const [h, w] = [image.height / factor, image.width / factor];
    seen.set(`vae_encode.${i}.image`, floats(image.data, 1, 3, image.height, image.width));
    seen.set(`vae_encode.${i}.moments`, floats(moments, 1, moments.length / (h * w), h, w));
    return moments;
  };
  return seen;
}

/** The last latents, what the autoencoder is given, its image in 0..1 and the bytes that would be saved. */
async function finalTensors(
  pipeline: DiffusionPipeline,
  { shape, request }: Prepared,
  { latents, images }: GenerateResult,
): Promise<[string, TensorData][]> {
  const [batch, channels, h, w] = shape;
  const { height, width } = request;
  const final: [string, TensorData] = ["final_latents", floats(latents, ...shape)];
  if (request.outputType === "latent") return [final];
  const image = new Float32Array(batch * height * width * 3);
  for (let i = 0; i < batch; i++) {
    const size = channels * h * w;
    const one = latents.subarray(i * size, (i + 1) * size);
    const decoded = await pipeline.decode(one, h, w, request.vaeTiling);
    image.set(pixelsLast(decoded, height * width), i * 3 * height * width);
  }
  return [
    final,
    ["vae_input", floats(unscaledLatents(latents, pipeline.components.vae, batch), ...shape)],
    ["image", floats(image, batch, height, width, 3)],
    ...images.map(({ data }, i): [string, TensorData] => [`png[${i}]`, tensorData(data, height, width, 3)]),
  ];
}

/** [3, pixels] in -1..1 -> [pixels, 3] in 0..1 */
function pixelsLast(image: Float32Array, pixels: number): Float32Array {
  const unit = (x: number) => Math.min(Math.max(x / 2 + 0.5, 0), 1);
  return Float32Array.from({ length: 3 * pixels }, (_, i) =>
    unit(image[(i % 3) * pixels + Math.floor(i / 3)]!),
  );
}
