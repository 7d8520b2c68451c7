/** @file What a file of textual inversion holds, and which models it was made for. */

import { listed, ModelError } from "../errors.js";
import { isEmbeddingFile, openEmbedding, readVectors } from "../weights/embedding.js";
import { openSafetensors } from "../weights/safetensors-file.js";
import { metadataNotes } from "./inspect-adapter.js";

export type EmbeddingReport = {
  title: string;
  /** What prompts call it unless it is given another name. */
  token: string;
  tensors: readonly { key: string; vectors: number; width: number; dtype: string; problem?: string }[];
  /** The models whose text encoders have these widths; undefined where there are none. */
  fits: string | undefined;
  notes: readonly string[];
};

/** By the widths of the vectors. */
const models: Readonly<Record<string, string>> = {
  "768": "Stable Diffusion 1",
  "1024": "Stable Diffusion 2",
  "768 and 1280": "SDXL and what was made of it: KOALA, SSD-1B, Segmind-Vega",
};

/** ModelError for a broken file; undefined for a file that is no textual inversion. */
export async function inspectEmbedding(file: string): Promise<EmbeddingReport | undefined> {
  const { tensors: entries, metadata } = await openSafetensors(file);
  if (!isEmbeddingFile([...entries.keys()])) return undefined;
  const { token, tensors } = await openEmbedding(file);
  const rows = [...tensors.values()].map(async (tensor) => {
    const width = tensor.shape.at(-1)!;
    const { key, dtype, shape } = tensor;
    return { key, vectors: shape.length === 1 ? 1 : shape[0]!, width, dtype, ...(await problemOf(tensor)) };
  });
  const order = ["only", "text_encoder", "text_encoder_2"] as const;
  const widths = order.flatMap((name) => tensors.get(name)?.shape.at(-1) ?? []);
  return {
    title: `Textual inversion: ${listed([token])}`,
    token,
    tensors: await Promise.all(rows),
    fits: models[widths.join(" and ")],
    notes: metadataNotes(metadata),
  };
}

async function problemOf(tensor: Parameters<typeof readVectors>[0]): Promise<{ problem?: string }> {
  try {
    await readVectors(tensor);
    return {};
  } catch (error) {
    if (error instanceof ModelError) return { problem: error.message };
    throw error;
  }
}
