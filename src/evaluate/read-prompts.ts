/**
 * @file Reads the prompts of an evaluation: a line each, or the tables of PartiPrompts (TSV with `Prompt` and `Category`),
 * GenEval (JSON lines with `prompt` and `tag`) and their like.
 */

import path from "node:path";
import { InvalidRequest } from "../errors.js";
import { readText } from "../files/file-system.js";
import type { EvaluationPrompt } from "./prompt-sets.js";

/** By the file's ending; any other has a prompt per line. */
const readers: Readonly<Record<string, (lines: readonly string[], file: string) => EvaluationPrompt[]>> = {
  ".tsv": tabSeparated,
  ".jsonl": jsonLines,
};

/** The prompts of a file, in order; InvalidRequest for none, FileError. */
export async function readPrompts(file: string): Promise<EvaluationPrompt[]> {
  const lines = (await readText(file)).split(/\r?\n/).filter((line) => line.trim() !== "");
  const read = readers[path.extname(file).toLowerCase()];
  const prompts = read ? read(lines, file) : lines.map((line) => ({ prompt: line.trim() }));
  if (prompts.length > 0) return prompts;
  throw new InvalidRequest("prompts", file, `must hold a prompt per line, got none in ${file}.`);
}

function tabSeparated([head = "", ...rows]: readonly string[], file: string): EvaluationPrompt[] {
  const columns = head.split("\t").map((name) => name.trim().toLowerCase());
  const [text, group] = [columns.indexOf("prompt"), columns.indexOf("category")];
  if (text < 0)
    throw new InvalidRequest(
      "prompts",
      file,
      `must have a column "Prompt" in a .tsv file, got ${columns.join(", ")} in ${file}.`,
    );
  return rows.map((row) => {
    const cells = row.split("\t");
    const prompt = (cells[text] ?? "").trim();
    const category = cells[group]?.trim();
    return category ? { prompt, category } : { prompt };
  });
}

function jsonLines(lines: readonly string[], file: string): EvaluationPrompt[] {
  return lines.map((line, i) => {
    const row = parsed(line);
    const { prompt, category = row.tag } = row;
    if (typeof prompt !== "string")
      throw new InvalidRequest(
        "prompts",
        file,
        `must have a "prompt" on each line, got none on line ${i + 1}.`,
      );
    return typeof category === "string" ? { prompt, category } : { prompt };
  });
}

function parsed(line: string): Record<string, unknown> {
  try {
    return Object(JSON.parse(line)) as Record<string, unknown>;
  } catch {
    return {};
  }
}

/** At most `limit` of the prompts, spread over all of them. */
export const spread = <T>(prompts: readonly T[], limit = prompts.length): T[] =>
  limit >= prompts.length
    ? [...prompts]
    : Array.from({ length: limit }, (_, i) => prompts[Math.floor((i * prompts.length) / limit)]!);
