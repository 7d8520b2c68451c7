/** @file The prompts of a command: its arguments and the lines of a file. */

import { buffer } from "node:stream/consumers";
import { InvalidRequest } from "../errors.js";
import { readFile, systemCode } from "../files/file-system.js";
import { decodeText } from "../files/text-file.js";

/** InvalidRequest if there is none; `saved` is what an image was generated from. */
export async function gatherPrompts(
  words: readonly string[],
  file: string | undefined,
  saved: string | undefined,
): Promise<string[]> {
  const lines = file === undefined ? [] : (await promptLines(file)).filter((line) => line.trim() !== "");
  const prompts = [...words, ...lines];
  if (prompts.length > 0) return prompts;
  if (saved !== undefined && file === undefined) return [saved];
  throw new InvalidRequest(
    "prompt",
    undefined,
    'must be given, got none. Write it in quotes: koala generate "a red apple, flat icon".',
  );
}

/** The lines of a file, or of standard input where its name is "-". */
async function promptLines(name: string): Promise<string[]> {
  const bytes = await (name === "-" ? buffer(process.stdin) : readFile(name)).catch((error: unknown) => {
    const code = systemCode(error);
    if (!code) throw error;
    throw new InvalidRequest(
      "--prompts",
      name,
      `must be a text file that can be read, got ${name} (${code}).`,
    );
  });
  const decoded = decodeText(bytes);
  if ("text" in decoded) return decoded.text.split("\n");
  const where = name === "-" ? "standard input" : name;
  throw new InvalidRequest("--prompts", name, `${where}, ${decoded.fault}`);
}
