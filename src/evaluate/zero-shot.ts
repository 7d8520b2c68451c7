/** @file Labels of images by a CLIP model that was not trained on them: the label whose text is nearest (Radford et al. 2021). */

import type { ClipModel } from "./clip-model.js";
import { cosine } from "./vectors.js";

/** Chooses labels, and keeps the embeddings of texts that it has read. */
export class ZeroShot {
  readonly #clip: Pick<ClipModel, "textEmbeddings">;
  readonly #texts = new Map<string, Float32Array>();

  constructor(clip: Pick<ClipModel, "textEmbeddings">) {
    this.#clip = clip;
  }

  /** The nearest label of each image's embedding. A label of several texts is at the mean of their directions. */
  async labels(
    images: readonly Float32Array[],
    texts: Readonly<Record<string, readonly string[]>>,
  ): Promise<string[]> {
    const directions: [label: string, direction: Float32Array][] = [];
    for (const [label, some] of Object.entries(texts)) directions.push([label, await this.#direction(some)]);
    return images.map((image) => {
      const near = directions.map(([, direction]) => cosine(image, direction));
      return directions[near.indexOf(Math.max(...near))]![0];
    });
  }

  async #direction(texts: readonly string[]): Promise<Float32Array> {
    const missing = texts.filter((text) => !this.#texts.has(text));
    for (const [i, embedding] of (await this.#clip.textEmbeddings(missing)).entries())
      this.#texts.set(missing[i]!, embedding);
    const embeddings = texts.map((text) => this.#texts.get(text)!);
    const lengths = embeddings.map((embedding) => Math.hypot(...embedding));
    return embeddings[0]!.map((_, k) =>
      embeddings.reduce((sum, embedding, t) => sum + embedding[k]! / lengths[t]!, 0),
    );
  }
}
