/**
 * @file CLIP's tokenizer, equal to Transformers' slow `CLIPTokenizer` with ftfy installed.
 *
 * Must not import the file system: it takes the files' contents.
 */

import { InvalidRequest } from "../errors.js";
import { byteLetters, mergeWord, wordEnd } from "./bpe.js";
import { fixText } from "./ftfy/ftfy.js";
import { readTokenizerFiles, type TokenizerData, type TokenizerFiles } from "./tokenizer-files.js";

export interface EncodedPrompt {
  /** Int32[maxLength]: cut with the end token last, or padded. */
  readonly ids: Int32Array;
  /** All ids with the start and end tokens, neither cut nor padded. */
  readonly uncut: readonly number[];
  /** The text that did not fit. */
  readonly truncated?: string;
}

/** A tokenizer from parsed files. Throws ModelError if they do not fit together. */
export function loadTokenizer(files: TokenizerFiles): ClipTokenizer {
  return new ClipTokenizer(readTokenizerFiles(files));
}

/** A token of a textual inversion, and the ids of its vectors, in order; none is in the vocabulary. */
export type VectorToken = { readonly token: string; readonly ids: readonly number[] };

export class ClipTokenizer {
  readonly bosId: number;
  readonly eosId: number;
  readonly padId: number;
  /** Entries of the vocabulary, added tokens included. */
  readonly vocabSize: number;
  readonly modelMaxLength: number;
  readonly data: TokenizerData;
  readonly #letters = byteLetters();
  readonly #special: RegExp;
  /** Tokens that stand for textual inversions. */
  readonly vectorTokens: readonly VectorToken[];
  readonly #added: ReadonlyMap<string, readonly number[]>;

  constructor(data: TokenizerData, vectorTokens: readonly VectorToken[] = []) {
    this.data = data;
    this.vectorTokens = vectorTokens;
    this.bosId = data.bosId;
    this.eosId = data.eosId;
    this.padId = data.padId;
    this.vocabSize = data.tokens.size;
    this.modelMaxLength = data.modelMaxLength;
    const added = new Map<string, readonly number[]>([...data.added].map(([token, id]) => [token, [id]]));
    for (const { token, ids } of vectorTokens) {
      added.set(token, ids);
      // Diffusers adds these too, and so does not split them where a prompt has them.
      for (const [i, id] of ids.entries()) if (i > 0) added.set(vectorName(token, i), [id]);
    }
    this.#added = added;
    const longestFirst = [...added.keys()].sort((a, b) => b.length - a.length);
    this.#special = new RegExp(`(${longestFirst.map(literal).join("|")})`, "u");
  }

  /**
   * The same tokenizer with tokens of textual inversions: each is found in its exact spelling, before a text is split into
   * words, and stands for all of its ids.
   */
  withVectors(vectorTokens: readonly VectorToken[]): ClipTokenizer {
    const named = vectorTokens.flatMap(({ token, ids }) =>
      ids.map((id, i) => [id, `${vectorName(token, i)}${wordEnd}`] as const),
    );
    return new ClipTokenizer({ ...this.data, tokens: new Map([...this.data.tokens, ...named]) }, [
      ...this.vectorTokens,
      ...vectorTokens,
    ]);
  }

  /** Ids of a prompt. `maxLength` counts start and end token. */
  encode(text: string, { maxLength = this.modelMaxLength }: { maxLength?: number } = {}): EncodedPrompt {
    if (typeof text !== "string") {
      throw new InvalidRequest(
        "prompt",
        text,
        `must be a string, got ${text === null ? "null" : typeof text}.`,
      );
    }
    if (!Number.isInteger(maxLength) || maxLength < 2) {
      throw new InvalidRequest("maxLength", maxLength, `must be an integer of at least 2, got ${maxLength}.`);
    }
    const uncut = [this.bosId, ...this.#prompt(text), this.eosId];
    const ids = new Int32Array(maxLength).fill(this.padId);
    if (uncut.length <= maxLength) {
      ids.set(uncut);
      return { ids, uncut };
    }
    ids.set(uncut.slice(0, maxLength - 1));
    ids[maxLength - 1] = this.eosId;
    return { ids, uncut, truncated: this.decode(uncut.slice(maxLength - 1, -1)) };
  }

  /** Ids of a text, without start and end tokens. */
  tokenIds(text: string): number[] {
    return [...this.#prompt(text)];
  }

  /** The id of a comma that ends a word. */
  get commaId(): number | undefined {
    return this.data.ids.get(`,${wordEnd}`);
  }

  /** The text of ids, special tokens included. */
  decode(ids: Iterable<number>): string {
    const byteOf = new Map(this.#letters.map((letter, byte) => [letter, byte]));
    const bytes: number[] = [];
    for (const id of ids) {
      const token = this.data.tokens.get(id);
      if (token === undefined) {
        throw new InvalidRequest("ids", id, `must be ids of the vocabulary, got ${id}.`);
      }
      for (const letter of token) bytes.push(...(byteOf.has(letter) ? [byteOf.get(letter)!] : utf8(letter)));
    }
    const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(Uint8Array.from(bytes));
    const spaced = text.replaceAll("</w>", " ").trim();
    return this.data.cleanUpSpaces ? cleanUp(spaced) : spaced;
  }

  // Special tokens are found before the text is cleaned, so they match in their exact spelling only.
  *#prompt(text: string): Generator<number> {
    for (const part of text.split(this.#special)) {
      const added = this.#added.get(part);
      if (added !== undefined) yield* added;
      else yield* this.#words(part);
    }
  }

  *#words(text: string): Generator<number> {
    const { ids, ranks, unknownId } = this.data;
    const clean = fixText(text).replace(spaces, " ").trim().toLowerCase();
    for (const [word] of clean.matchAll(wordPattern)) {
      const letters = Array.from(utf8(word), (byte) => this.#letters[byte]!).join("");
      const parts = isMark(word) ? [word] : mergeWord(letters, ranks);
      for (const part of parts) yield ids.get(part) ?? unknownId;
    }
  }
}

/** Diffusers' name of a token's i-th vector. */
const vectorName = (token: string, i: number) => (i === 0 ? token : `${token}_${i}`);

const utf8 = (text: string) => new TextEncoder().encode(text);
const literal = (text: string) => text.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&");

/** CLIP's special tokens, which after lower-casing match in any capitalisation. */
const isMark = (word: string) => word === "<|startoftext|>" || word === "<|endoftext|>";

const spaces = /[\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+/g;

// CLIP's pattern ignores case: a long s counts as s, and U+0345 (folded to iota) as no symbol.
export const wordPattern =
  /<\|[sſ]tartoftext\|>|<\|endoftext\|>|'[sſ]|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|(?:(?!\u0345)[^\s\x85\p{L}\p{N}])+/gu;

/** Transformers' `clean_up_tokenization`. */
function cleanUp(text: string): string {
  const joined = text.replace(/ ([.?!,])/g, "$1").replaceAll(" ' ", "'");
  return joined.replace(/ (n't|'m|'s|'ve|'re)/g, "$1");
}
