/**
 * @file The tokenizers of the models that workers generate with, kept in Redis: a server counts the tokens of a prompt
 * and has no files of those models. CLIP's takes about 0.6 MB there.
 */

import { promisify } from "node:util";
import { gunzip, gzip } from "node:zlib";
import type { TokenLimit } from "../../text/token-count.js";
import { ClipTokenizer } from "../../text/tokenizer.js";
import type { TokenizerData } from "../../text/tokenizer-files.js";
import type { ModelRegistry } from "../model-registry.js";
import type { Model } from "../model-schemas.js";
import type { JobStore } from "./store.js";

/** A little longer than a model stays on offer after its last worker was seen. */
const keepSeconds = 4000;

type Lists = "ids" | "tokens" | "ranks" | "added";
type Sent = {
  maxTokens: number;
  lexicon: Omit<TokenizerData, Lists> & Record<"ids" | "ranks" | "added", [string, number][]>;
};

/** Writes what is not there yet, and renews what is. */
export async function offerTokenizers(store: JobStore, models: ModelRegistry): Promise<void> {
  for (const [id, { tokenLimits }] of models) {
    const key = store.key("tokenizers", id);
    if (await store.redis.expire(key, keepSeconds)) continue;
    const text = JSON.stringify((await tokenLimits()).map(sent));
    await store.redis.set(key, await promisify(gzip)(text), "EX", keepSeconds);
  }
}

/** Those of a model, with its textual inversions; none where no worker has announced it. */
export async function offeredTokenizers(
  store: JobStore,
  id: string,
  embeddings: NonNullable<Model["embeddings"]> = [],
): Promise<TokenLimit[]> {
  const bytes = await store.redis.getBuffer(store.key("tokenizers", id));
  if (!bytes) return [];
  return (JSON.parse(String(await promisify(gunzip)(bytes))) as Sent[]).map((one) => {
    const { maxTokens, tokenizer } = received(one);
    let next = tokenizer.vocabSize;
    const words = embeddings.map(({ token, vectors }) => {
      return { token, ids: Array.from({ length: vectors }, () => next++) };
    });
    return { maxTokens, tokenizer: words.length > 0 ? tokenizer.withVectors(words) : tokenizer };
  });
}

function sent({ tokenizer, maxTokens }: TokenLimit): Sent {
  const { ids, tokens: _, ranks, added, ...rest } = tokenizer.data;
  return { maxTokens, lexicon: { ...rest, ids: [...ids], ranks: [...ranks], added: [...added] } };
}

function received({ maxTokens, lexicon: { ids, ranks, added, ...rest } }: Sent): TokenLimit {
  const tokens = new Map([...ids, ...added].map(([token, id]) => [id, token]));
  const maps = { ids: new Map(ids), tokens, ranks: new Map(ranks), added: new Map(added) };
  return { maxTokens, tokenizer: new ClipTokenizer({ ...rest, ...maps }) };
}
