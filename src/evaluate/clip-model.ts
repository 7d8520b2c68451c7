/**
 * @file A CLIP model of the user's: the embeddings of images and texts, whose cosine says how well they go together.
 * Any `CLIPModel` of transformers in safetensors: OpenAI's, OpenCLIP's, HPSv2, PickScore.
 */

import path from "node:path";
import { type Engine, floats, floatsOf, longs, type Values } from "../engine/engine.js";
import { ModelError } from "../errors.js";
import { kindOf, readJson, realFile } from "../files/file-system.js";
import type { RgbImage } from "../image/pixels.js";
import { clipText } from "../models/clip.js";
import { type ClipModelConfig, clipModelConfig, clipVision, projectImage } from "../models/clip-vision.js";
import { type ClipProcessor, clipPixels, clipProcessor } from "../pipeline/clip-pixels.js";
import { Component, type ComponentSession, type Trace } from "../pipeline/component.js";
import { readTokenizer } from "../pipeline/load-text-encoder.js";
import { input } from "../tensor/operations.js";
import type { ClipTokenizer } from "../text/tokenizer.js";
import { resolveWeights } from "../weights/component.js";

/** Images and texts of one run. */
const batchSize = 8;

export class ClipModel {
  readonly config: ClipModelConfig;
  readonly #processor: ClipProcessor;
  readonly #tokenizer: ClipTokenizer;
  readonly #vision: Component;
  readonly #text: Component;

  private constructor(
    config: ClipModelConfig,
    processor: ClipProcessor,
    tokenizer: ClipTokenizer,
    [vision, text]: readonly [Component, Component],
  ) {
    this.config = config;
    this.#processor = processor;
    this.#tokenizer = tokenizer;
    this.#vision = vision;
    this.#text = text;
  }

  /** `folder` has config.json, preprocessor_config.json, a tokenizer and the weights. ModelError, FileError. */
  static async open(folder: string, engine: Engine): Promise<ClipModel> {
    const at = (name: string) => path.join(folder, name);
    if ((await kindOf(folder)) !== "folder") await realFile(at("config.json"));
    const json = await readJson(at("config.json"));
    if (json.model_type !== undefined && json.model_type !== "clip") {
      const rule = `model_type: must be "clip", a CLIPModel of transformers, got ${JSON.stringify(json.model_type)}`;
      throw new ModelError(at("config.json"), `${rule}. Other models of images and texts are not supported.`);
    }
    const config = clipModelConfig(json, at("config.json"));
    const settings = at("preprocessor_config.json");
    const processor = clipProcessor(await readJson(settings), settings, config.vision.imageSize);
    const tokenizer = await readTokenizer({ path: folder });
    const weights = await resolveWeights(folder);
    const file = path.basename(weights.files[0]!);
    const tower = (name: string) => new Component(name, file, weights, engine);
    return new ClipModel(config, processor, tokenizer, [tower("vision_model"), tower("text_model")]);
  }

  /** Columns of an embedding. */
  get width(): number {
    return this.config.vision.projection;
  }

  /** The embeddings of images of any size, not normalised: [width] each. */
  async imageEmbeddings(images: readonly RgbImage[]): Promise<Float32Array[]> {
    const { imageSize: side } = this.config.vision;
    return this.#inBatches(this.#vision, this.#traceImages, images, (some) => {
      const pixels = new Float32Array(some.length * 3 * side * side);
      for (const [i, image] of some.entries()) pixels.set(this.pixels(image), i * 3 * side * side);
      return { pixel_values: floats(pixels, some.length, 3, side, side) };
    });
  }

  /** The embeddings of texts, not normalised: [width] each. Beyond the model's tokens a text is cut. */
  async textEmbeddings(texts: readonly string[]): Promise<Float32Array[]> {
    const { maxTokens } = this.config.text;
    return this.#inBatches(this.#text, this.#traceTexts, texts, (some) => {
      const rows = some.map((text) => this.#tokenizer.encode(text, { maxLength: maxTokens }).ids);
      return {
        ids: longs(
          rows.flatMap((row) => Array.from(row)),
          rows.length,
          maxTokens,
        ),
      };
    });
  }

  /** Of a text that has more tokens than the model reads: what is left out. */
  cut(text: string): string | undefined {
    return this.#tokenizer.encode(text, { maxLength: this.config.text.maxTokens }).truncated;
  }

  /** What the vision tower sees of an image: [3, size, size] */
  pixels(image: RgbImage): Float32Array {
    return clipPixels(image, this.#processor);
  }

  async close(): Promise<void> {
    await this.#vision.release();
    await this.#text.release();
  }

  readonly #traceImages: Trace = (p) => {
    const { vision } = this.config;
    const pixels = input("pixel_values", [{ B: batchSize }, 3, vision.imageSize, vision.imageSize]);
    const pooled = clipVision(p.at("vision_model"), vision, pixels);
    return { embeddings: projectImage(p.at("visual_projection"), vision, pooled) };
  };

  readonly #traceTexts: Trace = (p) => {
    const { text } = this.config;
    const ids = input("ids", [{ B: batchSize }, text.maxTokens], "int64");
    return { embeddings: clipText(p, text, ids).textEmbeds! };
  };

  async #inBatches<T>(
    tower: Component,
    trace: Trace,
    items: readonly T[],
    inputsOf: (some: readonly T[]) => Record<string, Values>,
  ): Promise<Float32Array[]> {
    const all: Float32Array[] = [];
    const session: ComponentSession = await tower.session("embeddings", trace);
    for (let from = 0; from < items.length; from += batchSize) {
      const some = items.slice(from, from + batchSize);
      const { embeddings } = await session.run(inputsOf(some), "its embeddings");
      const rows = floatsOf(embeddings);
      for (const i of some.keys()) all.push(rows.slice(i * this.width, (i + 1) * this.width));
    }
    return all;
  }
}
