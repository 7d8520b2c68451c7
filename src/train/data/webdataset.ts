/** @file WebDataset: tar shards in which the members of one example share a name (`0001.jpg`, `0001.txt`). */

import { createReadStream } from "node:fs";
import { open } from "node:fs/promises";
import { pipeline } from "node:stream";
import { buffer } from "node:stream/consumers";
import { type ExtractEvents, extract } from "tar-stream";
import { InvalidRequest } from "../../errors.js";
import type { Example, Skipped } from "./example.js";
import { captionProblem, type DataFile, type DataOptions, type DataSource } from "./example.js";
import { isPicture } from "./picture-names.js";

/** Where a picture lies in its shard; captions are read at once. Keyed by extension. */
type Place = { readonly offset: number; readonly size: number };
type Sample = {
  readonly name: string;
  readonly pictures: Map<string, Place>;
  readonly texts: Map<string, string>;
};

/** Opens tar shards, read in the order given. */
export function openWebDataset(shards: readonly DataFile[], options: DataOptions = {}): DataSource {
  return {
    kind: "webdataset",
    count: undefined,
    examples: (onSkip = () => {}) => examplesOf(shards, options, onSkip),
  };
}

async function* examplesOf(
  shards: readonly DataFile[],
  options: DataOptions,
  onSkip: (skipped: Skipped) => void,
): AsyncGenerator<Example> {
  for (const shard of shards) {
    const seen = new Set<string>();
    for await (const sample of samples(shard)) {
      const key = `${shard.name}#${sample.name}`;
      const found = seen.has(key) ? "has members apart from each other in the shard" : pick(sample, options);
      seen.add(key);
      if (typeof found === "string") onSkip({ key, reason: found });
      else yield { key, caption: found.caption, bytes: () => read(shard, found.picture) };
    }
  }
}

/** Members one after the other with one name are one sample, as in WebDataset's own readers. */
async function* samples(shard: DataFile): AsyncGenerator<Sample> {
  let sample: Sample | undefined;
  for await (const { name, extension, content } of members(shard)) {
    if (sample?.name !== name) {
      if (sample) yield sample;
      sample = { name, pictures: new Map(), texts: new Map() };
    }
    if (typeof content === "string") sample.texts.set(extension, content);
    else sample.pictures.set(extension, content);
  }
  if (sample) yield sample;
}

type Entry = ExtractEvents["entry"][1];
type Member = { readonly name: string; readonly extension: string; readonly content: Place | string };

async function* members(shard: DataFile): AsyncGenerator<Member> {
  const tar = extract();
  // The error arrives through the iteration below as well; this callback only keeps it from being unhandled.
  const input = createReadStream(shard.path);
  pipeline(input, tar, () => {});
  try {
    for await (const entry of tar) {
      const member = entry.header.type === "file" ? await memberOf(entry) : undefined;
      if (member) yield member;
      entry.resume();
    }
  } catch (error) {
    const problem = error instanceof Error ? error.message : String(error);
    const rule = `${shard.name} must be a whole tar file, got: ${problem}.`;
    throw new InvalidRequest("data", shard.path, `${rule} Copy or download it again, or take it out.`);
  } finally {
    input.destroy();
  }
}

/** A picture or a text; undefined for members of other kinds. */
async function memberOf(entry: Entry): Promise<Member | undefined> {
  // A name ends at the first full stop of its last part: "a/0001.seg.png" is member "seg.png" of "a/0001".
  const parts = /^((?:.*\/)?[^/.][^/.]*)\.([^/]+)$/.exec(entry.header.name.replace(/^\.\//, ""));
  if (!parts) return undefined;
  const name = parts[1]!;
  const extension = parts[2]!.toLowerCase();
  if (isPicture(`.${extension}`)) return { name, extension, content: placeOf(entry) };
  if (!/(^|\.)(txt|json)$/.test(extension)) return undefined;
  return { name, extension, content: String(await buffer(entry)) };
}

function pick(
  { pictures, texts }: Sample,
  { captionColumn, imageColumn }: DataOptions,
): { caption: string; picture: Place } | string {
  const extension = imageColumn ?? [...pictures.keys()][0];
  const picture = extension === undefined ? undefined : pictures.get(extension.toLowerCase());
  if (!picture) return imageColumn ? `has no .${imageColumn} member` : "has no picture";
  if (!imageColumn && pictures.size > 1) {
    return `has ${pictures.size} pictures (${[...pictures.keys()].join(", ")}); choose one by imageColumn`;
  }
  const caption = captionOf(texts, captionColumn);
  const problem = captionProblem(caption);
  return problem ?? { caption: String(caption), picture };
}

/** The caption: the named JSON field or text member, else `.txt`, else "text" or "caption" of the `.json`. */
function captionOf(texts: ReadonlyMap<string, string>, column: string | undefined): unknown {
  const text = texts.get(column ?? "txt");
  if (text !== undefined) return text.replace(/^\uFEFF/, "").trim();
  const fields = jsonFields(texts.get("json"));
  return column === undefined ? (fields.text ?? fields.caption) : fields[column];
}

function jsonFields(text: string | undefined): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text ?? "{}");
    return typeof value === "object" && value !== null ? { ...value } : {};
  } catch {
    return {}; // reported as an example without caption
  }
}

function placeOf(entry: Entry): Place {
  // tar-stream's offset is that of the header; the body follows the header's one block.
  return { offset: entry.offset + 512, size: entry.header.size };
}

async function read(shard: DataFile, { offset, size }: Place): Promise<Uint8Array> {
  const file = await open(shard.path);
  try {
    const bytes = new Uint8Array(size);
    const { bytesRead } = await file.read(bytes, 0, size, offset);
    if (bytesRead !== size) throw new InvalidRequest("data", shard.path, `${shard.name} became shorter.`);
    return bytes;
  } finally {
    await file.close();
  }
}
