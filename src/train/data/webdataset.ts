/** @file WebDataset: tar shards in which the members of one example share a name (`0001.jpg`, `0001.txt`). */

import { pipeline } from "node:stream";
import { buffer } from "node:stream/consumers";
import { type ExtractEvents, extract } from "tar-stream";
import { FileError, InvalidRequest } from "../../errors.js";
import { reading, readStream } from "../../files/file-system.js";
import { type Decoded, decodeText } from "../../files/text-file.js";
import { type Caption, captionOf } from "./caption-choice.js";
import { captionColumns, named, pickColumn, usualColumn } from "./columns.js";
import type { DataFile, DataOptions, DataSource, Example, SkippedExample } from "./example.js";
import { isImageName } from "./image-names.js";

/** The bytes of an image in its shard; captions are read at once. Keyed by extension. */
type MemberLocation = { readonly offset: number; readonly size: number };
type Sample = {
  readonly name: string;
  readonly images: Map<string, MemberLocation>;
  readonly texts: Map<string, Decoded>;
};

type Reading = DataOptions & {
  /** The field of .json members, or other text member, with captions where `captionColumn` names none. */
  readonly defaultColumn: () => Promise<string | undefined>;
};

/** Opens tar shards, read in the order given. */
export function openWebDataset(shards: readonly DataFile[], options: DataOptions = {}): DataSource {
  let field: Promise<string | undefined> | undefined;
  const reading: Reading = { ...options, defaultColumn: () => (field ??= captionField(shards)) };
  return {
    kind: "webdataset",
    count: undefined,
    examples: (onSkip = () => {}) => examplesOf(shards, reading, onSkip),
  };
}

async function* examplesOf(
  shards: readonly DataFile[],
  reading: Reading,
  onSkip: (skipped: SkippedExample) => void,
): AsyncGenerator<Example> {
  for (const shard of shards) {
    const seen = new Set<string>();
    for await (const sample of samples(shard)) {
      const key = `${shard.name}#${sample.name}`;
      const twice = seen.has(key);
      seen.add(key);
      const image = twice ? "has members apart from each other in the shard" : imageOf(sample, reading);
      if (typeof image === "string") {
        onSkip({ key, reason: image });
        continue;
      }
      const caption = await captionIn(sample, key, reading);
      if ("problem" in caption) onSkip({ key, reason: caption.problem });
      else yield { key, ...caption, bytes: () => read(shard, image) };
    }
  }
}

/** Members one after the other with one name are one sample, as in WebDataset's own readers. */
async function* samples(shard: DataFile): AsyncGenerator<Sample> {
  let sample: Sample | undefined;
  for await (const { name, extension, content } of members(shard)) {
    if (sample?.name !== name) {
      if (sample) yield sample;
      sample = { name, images: new Map(), texts: new Map() };
    }
    if ("offset" in content) sample.images.set(extension, content);
    else sample.texts.set(extension, content);
  }
  if (sample) yield sample;
}

type Entry = ExtractEvents["entry"][1];
type Member = {
  readonly name: string;
  readonly extension: string;
  readonly content: MemberLocation | Decoded;
};

async function* members(shard: DataFile): AsyncGenerator<Member> {
  const tar = extract();
  // The error arrives through the iteration below as well; this callback only keeps it from being unhandled.
  const input = readStream(shard.path);
  pipeline(input, tar, () => {});
  try {
    for await (const entry of tar) {
      const member = entry.header.type === "file" ? await memberOf(entry) : undefined;
      if (member) yield member;
      entry.resume();
    }
  } catch (error) {
    if (error instanceof FileError) throw error;
    const problem = error instanceof Error ? error.message : String(error);
    const rule = `${shard.name} must be a whole tar file, got: ${problem}.`;
    throw new InvalidRequest("data", shard.path, `${rule} Copy or download it again, or take it out.`);
  } finally {
    input.destroy();
  }
}

/** An image or a text; undefined for members of other kinds. */
async function memberOf(entry: Entry): Promise<Member | undefined> {
  // A name ends at the first full stop of its last part: "a/0001.seg.png" is member "seg.png" of "a/0001".
  const parts = /^((?:.*\/)?[^/.][^/.]*)\.([^/]+)$/.exec(entry.header.name.replace(/^\.\//, ""));
  if (!parts) return undefined;
  const name = parts[1]!;
  const extension = parts[2]!.toLowerCase();
  if (isImageName(`.${extension}`)) return { name, extension, content: locationOf(entry) };
  if (!/(^|\.)(txt|json)$/.test(extension)) return undefined;
  return { name, extension, content: decodeText(await buffer(entry)) };
}

/** The image, or why there is none. */
function imageOf({ images }: Sample, { imageColumn }: DataOptions): MemberLocation | string {
  const extension = imageColumn ?? [...images.keys()][0];
  const image = extension === undefined ? undefined : images.get(extension.toLowerCase());
  if (!image) return imageColumn ? `has no .${imageColumn} member` : "has no image";
  if (!imageColumn && images.size > 1) {
    return `has ${images.size} images (${[...images.keys()].join(", ")}); choose one by imageColumn`;
  }
  return image;
}

/** The caption: the named text member or JSON field, else `.txt`, else the data's default one. */
async function captionIn(
  { texts }: Sample,
  key: string,
  { captionColumn, seed, defaultColumn }: Reading,
): Promise<Caption> {
  const column = captionColumn ?? (texts.has("txt") ? "txt" : await defaultColumn());
  const extension = [column, "json"].find((name) => name !== undefined && texts.has(name));
  if (extension === undefined) return captionOf(undefined, { key, column: captionColumn });
  const member = texts.get(extension)!;
  if ("fault" in member) return { problem: `has no readable caption: .${extension}, ${member.fault}` };
  if (extension !== "json") return captionOf(member.text.trim(), { key });
  const value = column === undefined ? undefined : defaultColumns(member.text)[column];
  return captionOf(value, { key, column, seed });
}

/**
 * Which field of `.json` members, or other text member such as `.caption.txt`, has the captions, as in the tables of
 * other data. Where `.txt` members have them, only a field of the usual names stands in for one that is absent. Reads
 * the shards until a "text" is met.
 */
async function captionField(shards: readonly DataFile[]): Promise<string | undefined> {
  let textMembers = false;
  async function* rows() {
    for (const shard of shards)
      for await (const { texts } of samples(shard)) {
        textMembers ||= texts.has("txt");
        const json = texts.get("json");
        const others = [...texts.keys()].filter((name) => name.endsWith(".txt"));
        yield {
          ...(json && "text" in json && defaultColumns(json.text)),
          ...Object.fromEntries(others.map((name) => [name, ""])),
        };
      }
  }
  const columns = await captionColumns(rows());
  if (textMembers || columns.all.length === 0) return usualColumn("captionColumn", columns.fitting);
  return pickColumn("captionColumn", named(shards), columns, undefined);
}

function defaultColumns(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? { ...value } : {};
  } catch {
    return {}; // reported as an example without caption
  }
}

function locationOf(entry: Entry): MemberLocation {
  // tar-stream's offset is that of the header; the body follows the header's one block.
  return { offset: entry.offset + 512, size: entry.header.size };
}

async function read(shard: DataFile, { offset, size }: MemberLocation): Promise<Uint8Array> {
  return reading(shard.path, shard.path, async (file) => {
    const bytes = new Uint8Array(size);
    const { bytesRead } = await file.read(bytes, 0, size, offset);
    if (bytesRead !== size) throw new InvalidRequest("data", shard.path, `${shard.name} became shorter.`);
    return bytes;
  });
}
