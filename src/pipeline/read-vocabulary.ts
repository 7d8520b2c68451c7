/**
 * @file Reads `words.json`, the vocabulary in the folder of a model that knows few words. Large models have no such
 * file.
 */

import { z } from "zod";
import { kindOf, readJson } from "../files/file-system.js";
import path from "../files/path.js";
import { parseConfig } from "../models/config.js";
import type { Words } from "./vocabulary.js";

const named = z.object({ name: z.string(), aliases: z.array(z.string()).default([]) });
export const vocabularySchema = z.object({
  nouns: z.array(named),
  styles: z.array(named.extend({ set: z.string().optional() })),
  backgrounds: z.array(z.string()),
  heldOut: z.array(z.string()).default([]),
}) satisfies z.ZodType<Words>;

/** The words of the model in `folder`; undefined where it has no such list. */
export async function readVocabulary(folder: string): Promise<Words | undefined> {
  const file = path.join(folder, "words.json");
  if ((await kindOf(file)) !== "file") return undefined;
  return parseConfig(vocabularySchema, await readJson(file), "words.json");
}
