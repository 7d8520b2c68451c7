/** @file Reads and checks a tokenizer's files: vocabulary, merges, special tokens. */

import { listed, ModelError } from "../errors.js";

type Json = Readonly<Record<string, unknown>>;

/** The parsed files of a tokenizer's folder: either `vocab` and `merges`, or `tokenizerJson`. */
export interface TokenizerFiles {
  /** vocab.json */
  vocab?: unknown;
  /** The text of merges.txt, with its first line. */
  merges?: string;
  tokenizerJson?: unknown;
  /** tokenizer_config.json */
  config?: unknown;
  /** special_tokens_map.json */
  specialTokensMap?: unknown;
  /** added_tokens.json, of Transformers before 4.34: tokens that were added to the vocabulary. */
  addedTokens?: unknown;
  /** The folder's path, for error messages. */
  folder?: string;
}

/** The checked contents of a tokenizer's files. */
export interface TokenizerData {
  readonly ids: ReadonlyMap<string, number>;
  readonly tokens: ReadonlyMap<number, string>;
  /** Rank of each merge, by "left right". */
  readonly ranks: ReadonlyMap<string, number>;
  /** Tokens that are never split. */
  readonly added: ReadonlyMap<string, number>;
  readonly bosId: number;
  readonly eosId: number;
  readonly padId: number;
  readonly unknownId: number;
  readonly modelMaxLength: number;
  readonly cleanUpSpaces: boolean;
}

const clipLength = 77;
const endOfText = "<|endoftext|>";

/** Throws ModelError naming file and field. */
export function readTokenizerFiles(files: TokenizerFiles): TokenizerData {
  const at = (name: string) => `${files.folder ?? "tokenizer"}/${name}`;
  const config = record(files.config ?? {}, at("tokenizer_config.json"), "the file");
  const fast =
    files.tokenizerJson === undefined ? undefined : readFast(files.tokenizerJson, at("tokenizer.json"));
  const { ids, pairs, source } = readModel(files, fast, at);
  const ranks = rankMerges(pairs, ids, source);

  const given = addedTokens(config, files.addedTokens, ids, fast, at);
  // With added_tokens_decoder, the newer form, Transformers does not read the map.
  const map = config.added_tokens_decoder ? {} : (files.specialTokensMap ?? {});
  const named = { ...config, ...record(map, at("special_tokens_map.json"), "the file") };
  const added = new Map<string, number>(given);
  const special = (field: string, standard: string): number => {
    const token = contentOf(named[field] ?? standard, at("tokenizer_config.json"), field);
    const id = given.get(token) ?? ids.get(token);
    if (id === undefined)
      throw new ModelError(at("tokenizer_config.json"), `${field}: "${token}" is not in the vocabulary.`);
    added.set(token, id);
    return id;
  };
  const bosId = special("bos_token", "<|startoftext|>");
  const eosId = special("eos_token", endOfText);
  const unknownId = special("unk_token", endOfText);
  const padId = special("pad_token", endOfText);
  addMore(named.additional_special_tokens, added, ids, at("special_tokens_map.json"));

  const tokens = new Map([...ids, ...added].map(([token, id]) => [id, token]));
  const modelMaxLength = maxLength(config.model_max_length, at("tokenizer_config.json"));
  const cleanUpSpaces = config.clean_up_tokenization_spaces === true;
  return { ids, tokens, ranks, added, bosId, eosId, padId, unknownId, modelMaxLength, cleanUpSpaces };
}

interface Model {
  ids: Map<string, number>;
  pairs: string[][];
  source: string;
}

function readModel(files: TokenizerFiles, fast: Fast | undefined, at: (name: string) => string): Model {
  if (files.vocab !== undefined && files.merges !== undefined) {
    const ids = readVocab(files.vocab, at("vocab.json"), "the file");
    return { ids, pairs: readMerges(files.merges, at("merges.txt")), source: at("merges.txt") };
  }
  if (fast) return { ids: fast.ids, pairs: fast.pairs, source: at("tokenizer.json") };
  const missing = ["vocab", "merges"].filter((name) => files[name as "vocab" | "merges"] === undefined);
  const names = missing.map((name) => (name === "vocab" ? "vocab.json" : "merges.txt"));
  throw new ModelError(at(""), `missing ${listed(names)}. Add them or tokenizer.json.`, { missing: names });
}

function readVocab(vocab: unknown, file: string, field: string): Map<string, number> {
  const ids = new Map<string, number>();
  const owner = new Map<number, string>();
  for (const [token, id] of Object.entries(record(vocab, file, field))) {
    if (!Number.isInteger(id) || (id as number) < 0) {
      throw new ModelError(file, `"${token}": must be an id (an integer from 0), got ${JSON.stringify(id)}.`);
    }
    const other = owner.get(id as number);
    if (other !== undefined)
      throw new ModelError(file, `id ${id} is given to both "${other}" and "${token}".`);
    owner.set(id as number, token);
    ids.set(token, id as number);
  }
  if (ids.size === 0) throw new ModelError(file, `${field}: must hold tokens and their ids, got none.`);
  return ids;
}

// Transformers drops the first line, whatever it is, and reads no more merges than CLIP has.
const maxMerges = 49152 - 256 - 2;

function readMerges(text: string, file: string): string[][] {
  if (typeof text !== "string") throw new ModelError(file, `must be the file's text, got ${typeof text}.`);
  const lines = text
    .trim()
    .split("\n")
    .slice(1, maxMerges + 1);
  return lines.map((line) => line.trim().split(/\s+/)).filter(([left]) => left !== "");
}

function rankMerges(pairs: string[][], ids: Map<string, number>, file: string): Map<string, number> {
  const ranks = new Map<string, number>();
  for (const [rank, pair] of pairs.entries()) {
    const where = `merge ${rank + 1} ("${pair.join(" ")}")`;
    if (pair.length !== 2) throw new ModelError(file, `${where}: must be two tokens, got ${pair.length}.`);
    const unknown = [...pair, pair.join("")].filter((token) => !ids.has(token));
    if (unknown.length > 0) throw new ModelError(file, `${where}: ${listed(unknown)} not in the vocabulary.`);
    ranks.set(pair.join(" "), rank);
  }
  return ranks;
}

interface Fast {
  ids: Map<string, number>;
  pairs: string[][];
  added: unknown;
}

function readFast(json: unknown, file: string): Fast {
  const root = record(json, file, "the file");
  const model = record(root.model, file, "model");
  if (model.type !== undefined && model.type !== "BPE") {
    throw new ModelError(file, `model.type: must be "BPE", got ${JSON.stringify(model.type)}.`);
  }
  if (!Array.isArray(model.merges)) {
    throw new ModelError(file, `model.merges: must be a list, got ${typeof model.merges}.`);
  }
  const pairs = model.merges.map((merge: unknown) =>
    Array.isArray(merge) ? merge : String(merge).split(" "),
  );
  return { ids: readVocab(model.vocab, file, "model.vocab"), pairs, added: root.added_tokens };
}

/** Tokens with an id of their own: from the newer form alone, or from the older with tokenizer.json over it. */
function addedTokens(
  config: Json,
  older: unknown,
  ids: ReadonlyMap<string, number>,
  fast: Fast | undefined,
  at: (name: string) => string,
): Map<string, number> {
  const added = new Map<string, number>();
  const put = (id: unknown, token: unknown, file: string, field: string) => {
    const index = typeof id === "string" || typeof id === "number" ? Number(id) : Number.NaN;
    if (!Number.isInteger(index) || index < 0) {
      throw new ModelError(file, `${field}: ids must be integers from 0, got ${JSON.stringify(id)}.`);
    }
    added.set(contentOf(token, file, field), index);
  };
  if (config.added_tokens_decoder) {
    const file = at("tokenizer_config.json");
    const listedTokens = record(config.added_tokens_decoder, file, "added_tokens_decoder");
    for (const [id, token] of Object.entries(listedTokens)) put(id, token, file, "added_tokens_decoder");
    return added;
  }
  const file = at("added_tokens.json");
  for (const [token, id] of Object.entries(record(older ?? {}, file, "the file")))
    put(id, token, file, token);
  // Transformers takes only the order of these ids: tokens are appended to the vocabulary.
  const appended = [...added].filter(([token]) => !ids.has(token)).sort(([, a], [, b]) => a - b);
  added.clear();
  for (const [i, [token]] of appended.entries()) added.set(token, ids.size + i);
  if (Array.isArray(fast?.added)) {
    const file = at("tokenizer.json");
    for (const token of fast.added) put(record(token, file, "added_tokens").id, token, file, "added_tokens");
  }
  return added;
}

// Unlike the four above these may be new; they are then appended to the vocabulary.
function addMore(more: unknown, added: Map<string, number>, ids: Map<string, number>, file: string): void {
  if (more === undefined || more === null) return;
  if (!Array.isArray(more)) throw new ModelError(file, "additional_special_tokens: must be a list.");
  for (const entry of more) {
    const token = contentOf(entry, file, "additional_special_tokens");
    if (added.has(token)) continue;
    added.set(token, ids.get(token) ?? new Set([...ids.keys(), ...added.keys()]).size);
  }
}

/** A token is written as its text or as an object with `content`. */
function contentOf(token: unknown, file: string, field: string): string {
  const content = typeof token === "string" ? token : record(token, file, field).content;
  if (typeof content !== "string" || content === "") {
    throw new ModelError(file, `${field}: must name a token, got ${JSON.stringify(token)}.`);
  }
  if (typeof token === "object" && (token as Json).single_word === true) {
    throw new ModelError(file, `${field}: "${content}" has single_word, which is not supported.`);
  }
  return content;
}

// Transformers writes 1e30 for "not set"; CLIP's text encoders have 77 positions.
function maxLength(value: unknown, file: string): number {
  if (value === undefined || value === null || (typeof value === "number" && value > 1e9)) return clipLength;
  if (!Number.isInteger(value) || (value as number) < 2) {
    const got = JSON.stringify(value);
    throw new ModelError(file, `model_max_length: must be an integer of at least 2, got ${got}.`);
  }
  return value as number;
}

function record(value: unknown, file: string, field: string): Json {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    const got = value === null ? "null" : Array.isArray(value) ? "a list" : typeof value;
    throw new ModelError(file, `${field}: must be an object, got ${got}.`);
  }
  return value as Json;
}
