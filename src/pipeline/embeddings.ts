/** @file Textual inversions: gives the text encoders of a model the tokens and vectors of embedding files. */

import { InvalidRequest, listed, ModelError } from "../errors.js";
import path from "../files/path.js";
import { type EmbeddingFile, openEmbedding, readVectors } from "../weights/embedding.js";
import type { TextEncoder, TextNetwork } from "./text-encoding.js";

/** A textual inversion: vectors that a word in the prompt stands for. */
export type Embedding = {
  /**
   * The word, found in prompts in exactly this spelling, also inside other words. If left out, what the file calls it: the
   * name of its tensor in Diffusers' form, the file's name in AUTOMATIC1111's and SDXL's.
   */
  token?: string;
  /** A .safetensors file, the folder of one, or its name on the Hub. */
  file: string;
};

/** A textual inversion that was opened. */
export type NamedEmbedding = {
  token: string;
  file: string;
  /** How many vectors each encoder has for it, by the encoder's name. */
  vectors: Readonly<Record<string, number>>;
};

/**
 * The encoders with the tokens and vectors of `embeddings`, in their order, and what they are called. ModelError for a file
 * that is broken or of another width; InvalidRequest for a token that cannot be one.
 */
export async function withEmbeddings(
  encoders: readonly TextEncoder[],
  embeddings: readonly Embedding[],
): Promise<{ encoders: TextEncoder[]; named: NamedEmbedding[] }> {
  let changed = [...encoders];
  const named: NamedEmbedding[] = [];
  for (const { token: given, file } of embeddings) {
    const opened = await openEmbedding(file, given);
    const token = given ?? opened.token;
    checkToken(token, file, changed);
    const added = await addVectors(file, opened, changed);
    changed = added.map(({ encoder, ids }) => ({
      ...encoder,
      tokenizer: encoder.tokenizer.withVectors([{ token, ids }]),
    }));
    const counts = added.map(({ encoder, ids }) => [encoder.component.name, ids.length] as const);
    named.push({ token, file, vectors: Object.fromEntries(counts) });
  }
  return { encoders: changed, named };
}

/** The networks with the vectors of `embeddings`, for who reads no prompt. ModelError as above. */
export async function withVectors(
  networks: readonly TextNetwork[],
  embeddings: readonly Embedding[],
): Promise<readonly TextNetwork[]> {
  let changed = networks;
  for (const { token, file } of embeddings) {
    const added = await addVectors(file, await openEmbedding(file, token), changed);
    changed = added.map(({ encoder }) => encoder);
  }
  return changed;
}

function checkToken(token: string, file: string, encoders: readonly TextEncoder[]): void {
  const problem = tokenProblem(token, encoders);
  if (problem === undefined) return;
  throw new InvalidRequest(
    "embeddings",
    token,
    `token: ${problem}. Give ${path.basename(file)} another name.`,
  );
}

function tokenProblem(token: string, encoders: readonly TextEncoder[]): string | undefined {
  if (token.trim() === "" || /\s/.test(token) || token.length > 200)
    return `must be one word of at most 200 characters, got ${JSON.stringify(token.slice(0, 80))}`;
  for (const { tokenizer } of encoders) {
    if (tokenizer.vectorTokens.some((known) => known.token === token))
      return `must be given once, got "${token}" twice`;
    if (tokenizer.data.ids.has(token) || tokenizer.data.added.has(token))
      return `must not be in the model's vocabulary, got "${token}"`;
  }
  return undefined;
}

type Found = ReturnType<EmbeddingFile["tensors"]["get"]>;

/** The tensor of each encoder; every encoder has one, and a tensor has its encoder's width. */
function tensorsByEncoder(
  file: string,
  { tensors }: EmbeddingFile,
  encoders: readonly TextNetwork[],
): Found[] {
  const widths = encoders
    .map(({ component, config }) => `${config.width} of ${component.name}`)
    .join(" and ");
  const found = encoders.map(({ component: { name } }): Found => {
    return tensors.get(name as "text_encoder") ?? (encoders.length === 1 ? tensors.get("only") : undefined);
  });
  const all = [...tensors.values()];
  const fits = found.every((tensor, i) => tensor && tensor.shape.at(-1) === encoders[i]!.config.width);
  if (fits && all.length === encoders.length) return found;
  const got = all.map(({ key, shape }) => `${key} [${shape.join(", ")}]`);
  const rule = `must hold vectors of the model's widths, ${widths}, got ${listed(got)}`;
  throw new ModelError(file, `${rule}. Use an embedding that was made for this kind of model.`);
}

/** Each encoder with its vectors of the file, and the ids that stand for them. */
async function addVectors<T extends TextNetwork>(
  file: string,
  opened: EmbeddingFile,
  encoders: readonly T[],
): Promise<{ encoder: T; ids: number[] }[]> {
  const tensors = tensorsByEncoder(file, opened, encoders);
  const read = encoders.map(async (encoder, i) => {
    const added = await readVectors(tensors[i]!);
    const { width, vocabulary } = encoder.config;
    const before = encoder.vectors ?? new Float32Array(0);
    const first = vocabulary + before.length / width;
    const vectors = new Float32Array(before.length + added.length);
    vectors.set(before);
    vectors.set(added, before.length);
    const ids = Array.from({ length: added.length / width }, (_, i) => first + i);
    return { encoder: { ...encoder, vectors }, ids };
  });
  return Promise.all(read);
}
