/**
 * @file Reads the file of `koala probe`: templates of prompts with places for words, the words, and what is asked of the images.
 * YAML or JSON, which is YAML.
 */

import { parse } from "yaml";
import { z } from "zod";
import { InvalidRequest } from "../errors.js";
import { readText } from "../files/file-system.js";
import { parseConfig } from "../models/config.js";
import { checkPlaces, type ProbePrompt, promptsOfTemplates, type Slots } from "./probe-templates.js";

/** What a CLIP model chooses between: texts by label, of which places are filled as in the prompt. */
export type Question = {
  texts: Readonly<Record<string, readonly string[]>>;
  /** The label that is as asked; its places are filled too. */
  expected?: string | undefined;
};

export type ProbeFile = {
  templates: readonly string[];
  prompts: readonly ProbePrompt[];
  questions: Readonly<Record<string, Question>>;
  seeds?: number | undefined;
};

const text = z
  .union([z.string().min(1), z.number()], "must be a text")
  .transform(String)
  .pipe(z.string().trim().min(1, "must be a text"));
const labels = z.union(
  [z.array(text), z.record(z.string(), z.union([text, z.array(text).min(1)]))],
  "must be a list of labels, or a text for each label",
);
const schema = z.object({
  templates: z.array(text, "must be a list of texts").min(1, "must hold a template"),
  slots: z
    .record(z.string(), z.array(text, "must be a list of texts").min(1, "must hold a text"))
    .default({}),
  questions: z.record(z.string(), z.strictObject({ labels, expected: text.optional() })).default({}),
  seeds: z.int("must be a whole number above 0").positive("must be a whole number above 0").optional(),
});

/** FileError; ModelError and InvalidRequest that name what of the file is wrong. */
export async function readProbe(file: string): Promise<ProbeFile> {
  return probeOf(await readText(file), file);
}

/** `file` is what errors call the text. */
export function probeOf(yaml: string, file: string): ProbeFile {
  const { templates, slots, seeds, ...given } = parseConfig(schema, parsed(yaml, file), file);
  const questions = Object.fromEntries(
    Object.entries(given.questions).map(([name, question]) => [name, asked(name, question, slots)]),
  );
  return { templates, prompts: promptsOfTemplates(templates, slots), questions, seeds };
}

function parsed(yaml: string, file: string): unknown {
  try {
    return parse(yaml);
  } catch (error) {
    const [line = ""] = String(error instanceof Error ? error.message : error).split("\n");
    throw new InvalidRequest("probe", file, `must be YAML or JSON, got ${file}: ${line}`);
  }
}

type Given = z.output<typeof schema>["questions"][string];

function asked(name: string, { labels: given, expected }: Given, slots: Slots): Question {
  const list = Array.isArray(given) ? given.map((label) => [label, label] as const) : Object.entries(given);
  const texts = Object.fromEntries(list.map(([label, one]) => [label, Array.isArray(one) ? one : [one]]));
  const where = `questions.${name}`;
  if (Object.keys(texts).length < 2)
    throw new InvalidRequest(where, given, "must have two labels or more to choose between.");
  const known = Object.keys(texts).includes(expected ?? "");
  if (expected !== undefined && !known && !expected.includes("{"))
    throw new InvalidRequest(where, expected, `expected: must be one of its labels, got "${expected}".`);
  for (const one of [...Object.values(texts).flat(), ...(expected ? [expected] : [])])
    checkPlaces(one, slots, where);
  return { texts, expected };
}
