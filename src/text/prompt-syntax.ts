/**
 * @file Finds the prompt syntax of other programs in prompts that are not read so: AUTOMATIC1111's weights, schedules,
 * BREAK and AND; tags of LoRAs and embeddings; alternatives; Midjourney's parameters.
 */

import { listed } from "../errors.js";
import type { PromptSyntax } from "./prompt-rules.js";

type Form = { program: string; pattern: RegExp };

const a1111 = "AUTOMATIC1111";
/**
 * Text without brackets, so that the innermost form matches, over several lines as in A1111; of bounded length, so that
 * matching takes linear time.
 */
const inner = String.raw`[^()[\]{}]{0,300}`;

/**
 * Only forms that prose does not have: "(a cat)" and "(at 10:30)" are prose. A1111's forms are those of its
 * prompt_parser.py and extra_networks.py.
 */
const forms: readonly Form[] = [
  { program: a1111, pattern: /<(?:lora|lyco|hypernet|lbw)\s*:[^<>]{0,300}>/gi },
  // A ratio or a time of day ends in digits on both sides of the colon.
  {
    program: a1111,
    pattern: new RegExp(String.raw`\(${inner}[^\d\s()[\]{}]\s*:\s*[+-]?(?:\d+\.?\d*|\.\d+)\s*\)`, "g"),
  },
  { program: a1111, pattern: new RegExp(String.raw`\(${inner}:\s*[+-]?\d*\.\d+\s*\)`, "g") },
  { program: a1111, pattern: /\({2,9}[^()]{1,300}\){2,9}/g },
  { program: a1111, pattern: new RegExp(String.raw`\[${inner}(?:[:|])${inner}\]`, "g") },
  // A footnote, a list of numbers and an editor's remark are prose.
  {
    program: a1111,
    pattern: /\[{1,9}(?![\d\s.,;-]*\]|sic\]|\.\.\.\]|…\])(?=[^[\]]{0,300}\p{L})[^[\]]{0,300}\]{1,9}/giu,
  },
  { program: a1111, pattern: /\\[()[\]]/g },
  { program: "ComfyUI", pattern: /(?<![\p{L}\p{N}_])embedding:[\w./\\-]{1,200}/giu },
  { program: "Dynamic Prompts", pattern: /\{[^{}]{0,300}\|[^{}]{0,300}\}/g },
  { program: "Dynamic Prompts", pattern: /(?<![\p{L}\p{N}_])__[\w*/-]{1,100}?__(?![\p{L}\p{N}_])/gu },
  { program: "NovelAI", pattern: /\{{2,9}[^{}]{1,300}\}{2,9}/g },
  { program: "InvokeAI", pattern: /\([^()]{1,300}\)(?:\+{1,5}|-{2,5}|\d?\.\d+)(?![\w.])/g },
  {
    program: "Midjourney",
    pattern:
      /(?<!\S)--(?:ar|aspect|chaos|cref|iw|niji|no|q|quality|seed|sref|stylize|s|style|tile|v|weird)(?=\s|$)/g,
  },
];

/** A1111's keywords, except in quotes; AND is prose between other words in capitals. */
const words = /(?<![\p{L}\p{N}_"'“‘])(BREAK|AND)(?![\p{L}\p{N}_"'”’])/gu;

/** The syntax found, by program: each text once, in the prompt's order. */
export function promptSyntax(prompt: string): ReadonlyMap<string, readonly string[]> {
  const found: { at: number; end: number; program: string }[] = [];
  const taken = new Uint8Array(prompt.length);
  const take = (program: string, at: number, { length }: string) => {
    if (taken.subarray(at, at + length).includes(1)) return;
    taken.fill(1, at, at + length);
    found.push({ at, end: at + length, program });
  };
  for (const { program, pattern } of forms)
    for (const { index, 0: text } of prompt.matchAll(pattern)) take(program, index, text);
  for (const { index, 0: text } of prompt.matchAll(words))
    if (text === "BREAK" || !betweenCapitals(prompt, index, text.length)) take(a1111, index, text);
  const byProgram = new Map<string, Set<string>>();
  for (const { at, end, program } of found.sort((a, b) => a.at - b.at)) {
    const texts = byProgram.get(program) ?? new Set();
    byProgram.set(program, texts.add(prompt.slice(at, end)));
  }
  return new Map([...byProgram].map(([program, texts]) => [program, [...texts]]));
}

/** Whether the word before and the word after are in capitals too. */
function betweenCapitals(prompt: string, at: number, length: number): boolean {
  const before = /(\p{L}+)\P{L}*$/u.exec(prompt.slice(Math.max(0, at - 40), at))?.[1] ?? "";
  const after = /^\P{L}*(\p{L}+)/u.exec(prompt.slice(at + length, at + length + 40))?.[1] ?? "";
  const isUppercase = (word: string) => word === word.toUpperCase() && word !== word.toLowerCase();
  const isKeyword = (word: string) => word === "AND" || word === "BREAK";
  return [before, after].every((word) => isUppercase(word) && !isKeyword(word));
}

/** How a prompt is read: by A1111's grammar, and with its alternatives expanded. */
export type SyntaxRead = { promptSyntax?: PromptSyntax | undefined; dynamicPrompts?: boolean | undefined };

/** What would read a program's syntax. */
const readers: Readonly<Record<string, string>> = {
  [a1111]: '. promptSyntax "a1111" reads it.',
  "Dynamic Prompts": ". dynamicPrompts expands it.",
};

/** A warning for each program whose syntax `prompt` has and is not read; `field` is the prompt's name in it. */
export function syntaxWarnings(field: string, prompt: string, read: SyntaxRead = {}): string[] {
  const obeyed = [
    ...(read.promptSyntax === "a1111" ? [a1111] : []),
    ...(read.dynamicPrompts ? ["Dynamic Prompts", "NovelAI"] : []),
  ];
  const found = promptSyntax(prompt);
  const unread = [...found].filter(([program]) => !obeyed.includes(program));
  const warnings = unread.map(
    ([program, texts]) =>
      `${field}: ${program}'s syntax is off, so this is read as letters: ${shown(texts)}${readers[program] ?? ""}`,
  );
  const positive = (found.get(a1111) ?? []).filter((text) => text === "AND" || text.startsWith("<"));
  if (!obeyed.includes(a1111) || !field.includes("negative") || positive.length === 0) return warnings;
  const rule = "A1111's negative prompts have neither AND nor tags, so this is read as letters";
  return [...warnings, `${field}: ${rule}: ${shown(positive)}`];
}

const shown = (texts: readonly string[]): string =>
  listed(texts.map((text) => (text.length > 60 ? `${text.slice(0, 57)}...` : text)));
