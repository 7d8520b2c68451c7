/**
 * @file How long A1111's grammar takes to read prompts of 20,000 characters, absurdly nested, against what their tokens take.
 *
 *   npx tsx bench/prompts.ts
 */

import { InvalidRequest } from "../src/errors.js";
import { loadTokenizerOf } from "../src/pipeline/load-text-encoder.js";
import { parseAttention } from "../src/text/a1111/attention.js";
import { promptSchedule } from "../src/text/a1111/editing.js";
import { expandPrompt } from "../src/text/dynamic-prompts.js";
import { readPrompt } from "../src/text/prompt-rules.js";
import { openFolder } from "../src/weights/folder.js";

const size = 20_000;
const filled = (part: string): string => part.repeat(Math.ceil(size / part.length)).slice(0, size);
const nested = (open: string, close: string, depth: number): string =>
  filled(`${open.repeat(depth)}a${close.repeat(depth)} `);

const prompts: Readonly<Record<string, string>> = {
  "plain words": filled("a red bicycle beside a yellow wall, "),
  "round brackets, 200 deep": nested("(", ":1.1)", 200),
  "round brackets, never closed": filled("("),
  "square brackets, never closed": filled("["),
  "edits, 200 deep": nested("[a:", ":3]", 200),
  "edits, 10,000 deep": nested("[a:", ":3]", 10_000),
  "alternatives, never closed": filled("[a|"),
  "alternatives, side by side": filled("[cat|dog] "),
  "weights, side by side": filled("(a:1.2)"),
  "AND without end": filled("a AND "),
  "LoRA tags": filled("<lora:x:1>"),
  "open LoRA tags": filled("<lora:x:"),
  backslashes: filled("\\"),
  colons: filled(":"),
  "dynamic, 5,000 deep": filled("{a|"),
  "dynamic, side by side": filled("{red|blue} "),
  "dynamic wildcards": filled("__color__ "),
};

function read(prompt: string): string {
  try {
    const expanded = expandPrompt(prompt, { wildcards: { color: ["red"] }, random: () => 0.5 });
    const { parts } = readPrompt(expanded, "a1111");
    for (const { text } of parts) for (const entry of promptSchedule(text, 50)) parseAttention(entry.text);
    return "read";
  } catch (error) {
    if (error instanceof InvalidRequest) return "refused";
    throw error;
  }
}

/** The least of some runs, in milliseconds of a processor, so that what else runs counts little. */
function fastest(run: () => void): number {
  const times = Array.from({ length: 7 }, () => {
    const before = process.cpuUsage();
    run();
    const { user, system } = process.cpuUsage(before);
    return (user + system) / 1000;
  });
  return Math.min(...times);
}

const folder = new URL("../golden/data/pipelines/koala-1b-tiny", import.meta.url).pathname;
const tokenizer = await loadTokenizerOf(await openFolder(folder), "text_encoder");
const tokens = fastest(() => void tokenizer.encode(prompts["plain words"]!, { maxLength: 77 }));
console.log(`tokens of 20,000 characters of plain words: ${tokens.toFixed(1)} ms\n`);
console.log("| 20,000 characters | | ms | of the tokens' time |\n| --- | --- | --- | --- |");
for (const [name, prompt] of Object.entries(prompts)) {
  const ms = fastest(() => void read(prompt));
  console.log(`| ${name} | ${read(prompt)} | ${ms.toFixed(1)} | ${(ms / tokens).toFixed(2)} |`);
}
