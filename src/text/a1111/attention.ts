/**
 * @file AUTOMATIC1111's emphasis: brackets that weigh parts of a prompt, escapes, and the word BREAK. The rules are those
 * of `parse_prompt_attention` (prompt_parser.py), in linear time.
 */

import { InvalidRequest } from "../../errors.js";

/** A text and its weight, 1 by default. A BREAK between chunks is the text "BREAK" of weight -1. */
export type Fragment = { text: string; weight: number };

/** A fragment before equal neighbors are merged, with its place in the prompt. */
export type Piece = Fragment & { start: number; end: number };

/** Whether a fragment ends the chunk. Inside brackets BREAK has another weight, and is a word, as in A1111. */
export const isBreak = ({ text, weight }: Fragment): boolean => text === "BREAK" && weight === -1;

/** "(a)" has this weight, "[a]" its inverse; nested brackets multiply. */
const roundFactor = 1.1;
const squareFactor = 1 / 1.1;

/** Brackets that may be open at once. 1.1 to the power of 200 is 190 million: no model reads what is weighed so. */
const mostOpen = 200;

const weight = /:\s*([+-]?[.\d]+)\s*\)/y;
const breakWord = /(?<![\p{L}\p{N}_])BREAK(?![\p{L}\p{N}_])/gu;

/** The fragments of a prompt, equal weights side by side merged. InvalidRequest names `field`. */
export function parseAttention(prompt: string, field = "prompt"): Fragment[] {
  const merged: Fragment[] = [];
  for (const { text, weight } of attentionPieces(prompt, field)) {
    const last = merged.at(-1);
    if (last?.weight === weight) last.text += text;
    else merged.push({ text, weight });
  }
  return merged.length > 0 ? merged : [{ text: "", weight: 1 }];
}

/** Every piece between two brackets, each with its place. */
export function attentionPieces(prompt: string, field = "prompt"): Piece[] {
  const pieces: Piece[] = [];
  const round: number[] = [];
  const square: number[] = [];
  const multiply = (from: number, factor: number) => {
    for (let i = from; i < pieces.length; i++) pieces[i]!.weight *= factor;
  };
  const open = (brackets: number[]) => {
    brackets.push(pieces.length);
    if (round.length + square.length > mostOpen) throw tooDeep(field, prompt);
  };
  for (const { kind, start, end, number } of tokensOf(prompt)) {
    const text = () => prompt.slice(start, end);
    if (kind === "(") open(round);
    else if (kind === "[") open(square);
    else if (kind === ":" && number !== undefined && round.length > 0)
      multiply(round.pop()!, weightOf(number, field));
    else if (kind === ")" && round.length > 0) multiply(round.pop()!, roundFactor);
    else if (kind === "]" && square.length > 0) multiply(square.pop()!, squareFactor);
    else if (kind === "\\") pieces.push({ text: prompt.slice(start + 1, end), weight: 1, start, end });
    else if (kind === "text" && text().includes("BREAK")) pieces.push(...aroundBreaks(text(), start));
    else pieces.push({ text: text(), weight: 1, start, end });
  }
  for (const from of round) multiply(from, roundFactor);
  for (const from of square) multiply(from, squareFactor);
  if (pieces.some(({ weight }) => !Number.isFinite(weight))) {
    const rule = "must have finite weights, got brackets whose product is not. Take smaller numbers.";
    throw new InvalidRequest(field, prompt, rule);
  }
  return pieces;
}

type Token = {
  kind: "(" | "[" | ")" | "]" | ":" | "\\" | "text";
  start: number;
  end: number;
  number?: string;
};

/** Brackets, escapes, colons (with the number and the bracket behind them, as in ":1.3)") and the texts between. */
function* tokensOf(prompt: string): Generator<Token> {
  let start = 0;
  const lastClosing = prompt.lastIndexOf(")");
  while (start < prompt.length) {
    const kind = prompt[start]!;
    let end = start + 1;
    if (kind === "\\") {
      if ("()[]\\".includes(prompt[end] ?? " ")) end++;
      yield { kind, start, end };
    } else if (kind === ":") {
      weight.lastIndex = start;
      const [found, number] = (start < lastClosing && weight.exec(prompt)) || [];
      if (found !== undefined) end = start + found.length;
      yield { kind, start, end, ...(number !== undefined && { number }) };
    } else if (kind === "(" || kind === "[" || kind === ")" || kind === "]") yield { kind, start, end };
    else {
      while (end < prompt.length && !special.has(prompt[end]!)) end++;
      yield { kind: "text", start, end };
    }
    start = end;
  }
}

const special: ReadonlySet<string> = new Set("\\()[]:");

/** The texts between BREAKs, without the spaces around them, and the BREAKs. */
function aroundBreaks(text: string, offset: number): Piece[] {
  const pieces: Piece[] = [];
  const put = (part: string, start: number, weight: number) =>
    pieces.push({ text: part, weight, start: offset + start, end: offset + start + part.length });
  let from = 0;
  for (const { index } of text.matchAll(breakWord)) {
    put(text.slice(from, index).trimEnd(), from, 1);
    put("BREAK", index, -1);
    const after = index + "BREAK".length;
    const rest = text.slice(after);
    from = after + rest.length - rest.trimStart().length;
  }
  put(text.slice(from), from, 1);
  return pieces;
}

/** Python's float() of "1.3", ".5", "2." or "+1"; A1111 too refuses "1.2.3". */
function weightOf(text: string, field: string): number {
  const weight = Number(text);
  if (Number.isFinite(weight)) return weight;
  throw new InvalidRequest(
    field,
    text,
    `weights must be numbers, got ":${text.slice(0, 40)})". Write (words:1.3).`,
  );
}

function tooDeep(field: string, prompt: string): InvalidRequest {
  const rule = `must have at most ${mostOpen} brackets open at once, got more`;
  return new InvalidRequest(field, prompt, `${rule}. Close them, or write \\( and \\[ for the characters.`);
}
