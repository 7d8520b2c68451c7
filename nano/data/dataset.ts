/**
 * @file The two folders of images that the small model is trained on, with captions, as `koala train` takes them:
 * `every` drawing for the autoencoder, and the chosen nouns for the U-Nets. The same seed gives the same bytes.
 */

import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import sharp from "sharp";
import { below, seeded, shuffled } from "../../src/train/data/seeded.js";
import { type Background, backgroundNames, backgrounds, caption } from "./captions.js";
import { type Concept, type Drawing, readConcepts, type Style, styles } from "./emoji.js";
import { chooseNouns, heldOut as heldOutOf, type Noun, pairOf } from "./nouns.js";
import { laidOn, render, size } from "./render.js";

const seed = 0;
/** Images of a pair of noun and style: this many on white, and on as many other colours as `coloured`. */
const [onWhite, coloured] = [3, 5];

export type Data = {
  nouns: readonly Noun[];
  held: ReadonlySet<string>;
  concepts: ReadonlyMap<string, Concept>;
};

/** The chosen nouns and everything that can be drawn. */
export function readData(): Data {
  const concepts = readConcepts();
  const nouns = chooseNouns(concepts);
  return { nouns, held: heldOutOf(nouns), concepts: new Map(concepts.map((c) => [c.code, c])) };
}

/** These nouns alone, with the held-out pairs that are theirs. */
export function among(nouns: readonly Noun[], { held, concepts }: Data): Data {
  const pairs = nouns.flatMap(({ name }) => styles.map((style) => pairOf(name, style)));
  return { nouns, held: new Set(pairs.filter((pair) => held.has(pair))), concepts };
}

export const drawingOf = ({ concepts }: Data, noun: Noun, style: Style): Drawing =>
  concepts.get(noun.code)!.drawings.get(style)!;

/** Every twentieth concept is kept from the autoencoder, to measure it by. */
const forMeasuring = (concept: Concept, nouns: ReadonlySet<string>): boolean =>
  !nouns.has(concept.code) && concept.order % 20 === 0;

const other = backgroundNames.filter((name) => name !== "white");

/** One image per drawing of every concept, half of them on white; those of `forMeasuring` in a folder of their own. */
export async function writeEvery(data: Data, folder: string, onImage: (done: number) => void): Promise<void> {
  const codes = new Set(data.nouns.map((noun) => noun.code));
  const held = new Set(
    data.nouns.flatMap((noun) =>
      styles.filter((s) => data.held.has(pairOf(noun.name, s))).map((s) => `${noun.code}/${s}`),
    ),
  );
  const sets = { train: new Writer(path.join(folder, "train")), test: new Writer(path.join(folder, "test")) };
  for (const set of Object.values(sets)) await set.begin();
  let done = 0;
  for (const concept of data.concepts.values()) {
    if (["flags", "symbols", "component"].includes(concept.group)) continue;
    for (const [style, drawing] of concept.drawings) {
      const key = `${concept.code}/${style}`;
      const draw = seeded(seed, "every", key);
      const background = draw() < 0.5 ? "white" : other[below(other.length, draw)]!;
      const set = held.has(key) || forMeasuring(concept, codes) ? sets.test : sets.train;
      await set.add(laidOn(await render(drawing), backgrounds[background]), concept.label);
      onImage(++done);
    }
  }
  for (const set of Object.values(sets)) await set.end();
}

type NounImages = {
  /** Those of the held-out pairs, in place of the others. Default false. */
  heldOut?: boolean;
  /** Images of a pair, the first on white. Default 8. */
  perPair?: number;
  /** Captions that name the noun alone. Default false. */
  short?: boolean;
};

/** The images of all pairs that are not held out; or of those alone that are. */
export async function writeNouns(
  data: Data,
  folder: string,
  onImage: (done: number) => void,
  { heldOut = false, perPair = onWhite + coloured, short = false }: NounImages = {},
): Promise<void> {
  const writer = new Writer(folder);
  await writer.begin();
  for (const noun of data.nouns)
    for (const style of styles) {
      if (data.held.has(pairOf(noun.name, style)) !== heldOut) continue;
      const rgba = await render(drawingOf(data, noun, style));
      const draw = seeded(seed, "nouns", pairOf(noun.name, style));
      const colours = shuffled(other, draw).slice(0, coloured);
      const all = [...Array<Background>(onWhite).fill("white"), ...colours];
      const chosen = perPair < all.length ? ["white" as const, ...colours].slice(0, perPair) : all;
      for (const background of chosen) {
        const text = caption(noun, style, background, draw);
        await writer.add(laidOn(rgba, backgrounds[background]), short ? noun.name : text);
        onImage(writer.count);
      }
    }
  await writer.end();
}

/** A folder of PNG files with `metadata.jsonl`, which is written last. */
class Writer {
  readonly #rows: string[] = [];
  readonly folder: string;

  constructor(folder: string) {
    this.folder = folder;
  }

  get count(): number {
    return this.#rows.length;
  }

  begin = async () => void (await mkdir(this.folder, { recursive: true }));

  async add(rgb: Uint8Array, text: string): Promise<void> {
    const name = `${String(this.#rows.length).padStart(5, "0")}.png`;
    const raw = { width: size, height: size, channels: 3 } as const;
    await sharp(rgb, { raw }).png({ compressionLevel: 6 }).toFile(path.join(this.folder, name));
    this.#rows.push(JSON.stringify({ file_name: name, text }));
  }

  end = () => writeFile(path.join(this.folder, "metadata.jsonl"), `${this.#rows.join("\n")}\n`);
}
