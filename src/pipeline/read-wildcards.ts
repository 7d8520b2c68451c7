/** @file Reads a folder of wildcard files for dynamic prompts: a text file each, an alternative per line. */

import { InvalidRequest } from "../errors.js";
import { kindOf, readdir, readText } from "../files/file-system.js";
import path from "../files/path.js";
import type { Wildcards } from "../text/dynamic-prompts.js";

/** Folders inside folders that are looked into. */
const mostDepth = 6;

/**
 * The wildcards of a folder: `clothes/hat.txt` is `__clothes/hat__`. Empty lines and those that begin with "#" are left out.
 * InvalidRequest for a folder without any.
 */
export async function readWildcards(folder: string): Promise<Wildcards> {
  if ((await kindOf(folder)) !== "folder") {
    const rule = `must be a folder of .txt files, got ${folder}. Is it the right one?`;
    throw new InvalidRequest("wildcards", folder, rule);
  }
  const found: Record<string, readonly string[]> = {};
  let level = [""];
  for (let depth = 0; depth <= mostDepth && level.length > 0; depth++) {
    const inside: string[] = [];
    for (const one of level) {
      for (const entry of (await readdir(path.join(folder, one))).sort()) {
        const name = one === "" ? entry : `${one}/${entry}`;
        if (entry.endsWith(".txt"))
          found[name.slice(0, -4)] = linesOf(await readText(path.join(folder, name)));
        else if ((await kindOf(path.join(folder, name))) === "folder") inside.push(name);
      }
    }
    level = inside;
  }
  if (Object.keys(found).length > 0) return found;
  const rule = `must hold .txt files with an alternative per line, got none in ${folder}. Is it the right one?`;
  throw new InvalidRequest("wildcards", folder, rule);
}

const linesOf = (text: string): string[] =>
  text
    .split(/\r?\n/)
    .map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("#"));
