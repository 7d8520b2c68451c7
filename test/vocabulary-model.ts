/** @file The tiny model with a words.json: a folder of links, for tests of small vocabularies. */

import { mkdtemp, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { tinyModel } from "./serving.js";

export async function withWords(names: readonly string[]) {
  const folder = await mkdtemp(path.join(tmpdir(), "koala-words-"));
  for (const entry of await readdir(tinyModel))
    await symlink(path.join(tinyModel, entry), path.join(folder, entry));
  const words = { nouns: names.map((name) => ({ name })), styles: [], backgrounds: [] };
  await writeFile(path.join(folder, "words.json"), JSON.stringify(words));
  return { folder, remove: () => rm(folder, { recursive: true }) };
}
