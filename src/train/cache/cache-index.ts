/** @file `index.jsonl` of a finished cache: the file and offset of each example and caption. Written last, read whole. */

import path from "node:path";
import { z } from "zod";
import { InvalidRequest, ModelError } from "../../errors.js";
import { kindOf, readText, writeAll, writeBeside } from "../../files/file-system.js";

const whole = z.int().nonnegative();

const head = z.strictObject({
  version: z.literal(1),
  /** Bytes of each shard that is referred to. */
  files: z.record(z.string(), whole),
  tokens: whole,
  width: whole,
  pooled: whole.nullable(),
});

const captionEntry = z.strictObject({
  caption: z.string(),
  /** The caption itself. */
  words: z.string(),
  file: z.string(),
  /** Bytes from the start of the file. */
  text: whole,
  pooled: whole.optional(),
});

const exampleEntry = z.strictObject({
  key: z.string(),
  caption: z.string(),
  bucket: z.string(),
  file: z.string(),
  encoded: whole,
  timeIds: z.tuple([z.number(), z.number(), z.number(), z.number(), z.number(), z.number()]),
});

export type CaptionEntry = z.output<typeof captionEntry>;
export type ExampleEntry = z.output<typeof exampleEntry>;

/** Captions go by an id, so that a long one is written once; `captions` holds "" too. */
export type CacheIndex = z.output<typeof head> & {
  captions: readonly CaptionEntry[];
  examples: readonly ExampleEntry[];
};

const fileName = "index.jsonl";

/** Writes the index beside and renames it: from then on the cache counts as finished. */
export async function writeCacheIndex(
  folder: string,
  { captions, examples, ...rest }: CacheIndex,
): Promise<void> {
  await writeBeside(path.join(folder, fileName), async (handle) => {
    const lines = [rest, ...captions, ...examples];
    for (let at = 0; at < lines.length; at += 1000) {
      const some = lines.slice(at, at + 1000).map((line) => `${JSON.stringify(line)}\n`);
      await writeAll(handle, Buffer.from(some.join("")));
    }
  });
}

/** Reads it; InvalidRequest for a cache that is not finished, ModelError for a broken file. */
export async function readCacheIndex(folder: string): Promise<CacheIndex> {
  const file = path.join(folder, fileName);
  if ((await kindOf(file)) === undefined) {
    const rule = `must be a finished cache, got "${folder}" without ${fileName}.`;
    throw new InvalidRequest(
      "cacheFolder",
      folder,
      `${rule} Run the same command again: it goes on where it was.`,
    );
  }
  const lines = (await readText(file)).split("\n");
  const parse = <T>(schema: z.ZodType<T>, number: number): T => {
    try {
      return schema.parse(JSON.parse(lines[number]!));
    } catch {
      const rule = `line ${number + 1} must be an entry of a cache's index, got ${shorten(lines[number])}.`;
      throw new ModelError(file, `${rule} Delete this file and run again: it is written anew.`);
    }
  };
  const start = parse(head, 0);
  const captions: CaptionEntry[] = [];
  const examples: ExampleEntry[] = [];
  for (let number = 1; number < lines.length - 1; number++) {
    if (lines[number]!.startsWith('{"key"')) examples.push(parse(exampleEntry, number));
    else captions.push(parse(captionEntry, number));
  }
  return { ...start, captions, examples };
}

const shorten = (text = "") => JSON.stringify(text.length > 60 ? `${text.slice(0, 57)}...` : text);
