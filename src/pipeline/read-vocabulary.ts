/**
 * @file Reads `words.json`, the vocabulary in the folder of a model that knows few words. Large models have no such
 * file.
 */

import * as z from "zod/mini";
import { kindOf, readJson } from "../files/file-system.js";
import path from "../files/path.js";
import { parseConfig } from "../models/config.js";
import type { Words } from "./vocabulary.js";

const named = z.object({ name: z.string(), aliases: z._default(z.array(z.string()), []) });
const schema = z.object({
  nouns: z.array(named),
  styles: z.array(z.extend(named, { set: z.optional(z.string()) })),
  backgrounds: z.array(z.string()),
  heldOut: z._default(z.array(z.string()), []),
}) satisfies z.ZodMiniType<Words>;

/** The words of the model in `folder`; undefined where it has no such list. */
export async function readVocabulary(folder: string): Promise<Words | undefined> {
  const file = path.join(folder, "words.json");
  if ((await kindOf(file)) !== "file") return undefined;
  return parseConfig(schema, await readJson(file), "words.json");
}
