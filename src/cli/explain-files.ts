/** @file The files of `koala explain`: heat maps over the image, sheets of them, and the numbers. */

import path from "node:path";
import { writeWhole } from "../files/file-system.js";
import { sheetLayout } from "../grid/layout.js";
import { encodeImage, saveImage } from "../image/codec.js";
import { differenceImage, overlaid, signedImage } from "../image/heat-map.js";
import { bicubic } from "../image/interpolate.js";
import type { RgbImage } from "../image/pixels.js";
import { drawSheet } from "../image/sheet.js";
import { type AttentionMaps, type MapOptions, toUnitRange } from "../pipeline/attention/maps.js";
import { writeSafetensors } from "../weights/safetensors-file.js";
import type { ExplainedRun, ExplainedStep } from "./explain-run.js";

type Sheet = {
  title: string;
  caption: string;
  columns: readonly string[];
  /** A label and as many images as there are columns; undefined leaves one empty. */
  rows: readonly (readonly [label: string, images: readonly (RgbImage | undefined)[]])[];
};

const writeSheet = async (file: string, sheet: Sheet): Promise<void> => writeWhole(file, await drawn(sheet));

/** As a PNG. */
async function drawn({ title, caption, columns, rows }: Sheet): Promise<Uint8Array> {
  const [first] = rows.flatMap(([, images]) => images).filter((image) => image !== undefined);
  const size = { cellWidth: first!.width, cellHeight: first!.height };
  const labels = rows.map(([label]) => label);
  const layout = sheetLayout({
    ...size,
    columns,
    rows: labels.join("") === "" ? [] : labels,
    title,
    caption,
  });
  const cells = rows.flatMap(([, images]) => columns.map((_, i) => images[i]));
  const files = await Promise.all(cells.map((image) => image && encodeImage(image, "png")));
  return drawSheet(layout, files);
}

/** Everything of one run; the names of the files, in order. */
export async function writeRun(
  folder: string,
  run: ExplainedRun,
  options: MapOptions & { perLayer: boolean; metadata: boolean },
): Promise<string[]> {
  const { image, maps } = run;
  const written: string[] = [];
  const at = (name: string) => {
    written.push(path.join(folder, name));
    return written.at(-1)!;
  };
  await image.save(at("image.png"), { metadata: options.metadata });
  const heats = maps.words.map((_, word) => overlaid(image, maps.heatMap(word, image, options)));
  for (const [i, heat] of heats.entries()) await saveImage(at(fileName(i, maps.words[i]!.word)), heat);
  await writeSheet(at("words.png"), wordSheet(run, heats));
  if (run.steps.length > 0) await writeSheet(at("steps.png"), stepSheet(run));
  if (options.perLayer) await writeSheet(at("layers.png"), layerSheet(run));
  await writeWhole(at("attention.json"), `${JSON.stringify(numbers(run, options), null, 1)}\n`);
  await writeTensors(at("attention.safetensors"), run, options);
  return written;
}

const captionOf = ({ name, image }: ExplainedRun): string => `${name}, seed ${image.seed}`;
const titleOf = ({ image }: ExplainedRun): string => `"${image.metadata?.prompt ?? ""}"`;

/** "word-02-apple.png", "word-03.png" for a comma */
const fileName = (index: number, word: string): string => {
  const plain = word.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, "-");
  return `word-${String(index + 1).padStart(2, "0")}-${plain}`.replace(/-+$/, "").concat(".png");
};

const wordSheet = (run: ExplainedRun, heats: readonly RgbImage[]): Sheet =>
  sheetOfWords({
    ...{ prompt: run.image.metadata?.prompt ?? "", caption: captionOf(run), image: run.image },
    words: heats.map((heat, i) => ({ word: run.maps.words[i]!.word, heat })),
  });

type WordSheet = {
  prompt: string;
  caption: string;
  image: RgbImage;
  words: readonly { word: string; heat: RgbImage }[];
};

/** A PNG of the image and each word over it, in a row. */
export const wordSheetFile = (content: WordSheet): Promise<Uint8Array> => drawn(sheetOfWords(content));

function sheetOfWords({ prompt, caption, image, words }: WordSheet): Sheet {
  return {
    title: `Where each word of "${prompt}" went`,
    caption: `${caption}. Dark: least, yellow: most of this word's attention.`,
    columns: ["image", ...words.map(({ word }) => word)],
    rows: [["", [image, ...words.map(({ heat }) => heat)]]],
  };
}

const timesteps = ({ steps }: ExplainedRun) => steps.map(({ timestep }) => `t ${Math.round(timestep)}`);

function stepSheet(run: ExplainedRun): Sheet {
  const { steps, maps, image } = run;
  const of = (row: (step: ExplainedStep) => RgbImage | undefined) => steps.map(row);
  const guided = steps.some(({ negative }) => negative !== undefined);
  const apart = ({ negative, prompt }: ExplainedStep) => negative && differenceImage(negative, prompt);
  return {
    title: `The clean image that each step predicts for ${titleOf(run)}`,
    caption: `${captionOf(run)}. Guidance goes from the negative prompt's prediction past the prompt's.`,
    columns: timesteps(run),
    rows: [
      ["guided", of((step) => step.guided)],
      ...(guided
        ? ([
            ["for the prompt", of((step) => step.prompt)],
            ["for the negative prompt", of((step) => step.negative)],
            ["their difference", of(apart)],
          ] as const)
        : []),
      ...maps.words.map(
        ({ word }, i) =>
          [word, of((step) => overlaid(step.guided, heatOf(maps, step.words, i, image)))] as const,
      ),
    ],
  };
}

/** The i-th map of [words, rows, columns] at the image's size. */
function heatOf(maps: AttentionMaps, words: Float32Array, i: number, size: RgbImage): Float32Array {
  const one = maps.height * maps.width;
  return toUnitRange(bicubic(maps, size)(words.subarray(i * one, (i + 1) * one)));
}

function layerSheet(run: ExplainedRun): Sheet {
  const { maps, image } = run;
  const paths = maps.layers.map(({ path }) => path);
  return {
    title: `Where each layer sends the words of ${titleOf(run)}`,
    caption: captionOf(run),
    columns: maps.layers.map(({ path, height, width }) => `${shortPath(path)} ${width}x${height}`),
    rows: maps.words.map(
      ({ word }, i) =>
        [word, paths.map((path) => overlaid(image, maps.heatMap(i, image, { layers: [path] })))] as const,
    ),
  };
}

/** "down_blocks.1.attentions.0.transformer_blocks.0.attn2" -> "down 1.0.0" */
const shortPath = (path: string): string =>
  path
    .replace(/_blocks?\.(\d)/, " $1")
    .replace(/^mid_block/, "mid")
    .replace(/\.(attentions|transformer_blocks|attn2)/g, "");

/** What a reader wants to compare: each word's map, its mean and its place of most. */
function numbers(run: ExplainedRun, options: MapOptions) {
  const { image, maps, name, steps } = run;
  const { height, width, tokens, words, layers } = maps;
  const size = height * width;
  const all = maps.wordMaps(options);
  return {
    ...{ model: name, prompt: image.metadata?.prompt, seed: String(image.seed) },
    ...{ width: image.width, height: image.height, rows: height, columns: width, tokens },
    words: words.map(({ word, tokens }, i) => {
      const map = all.subarray(i * size, (i + 1) * size);
      const peak = map.indexOf(Math.max(...map));
      return {
        ...{ word, tokens, mean: mean(map) },
        most: { row: Math.floor(peak / width), column: peak % width, value: map[peak] },
        map: Array.from({ length: height }, (_, y) =>
          [...map.subarray(y * width, (y + 1) * width)].map(rounded),
        ),
      };
    }),
    layers: layers.map(({ path, heads, height, width }) => ({ path, heads, rows: height, columns: width })),
    ...(steps.length > 0 && {
      steps: steps.map(({ timestep, difference, words: of }) => ({
        ...{ timestep, ...(difference !== undefined && { guidanceDifference: rounded(difference) }) },
        wordMeans: words.map((_, i) => rounded(mean(of.subarray(i * size, (i + 1) * size)))),
      })),
    }),
  };
}

const mean = (map: Float32Array): number => rounded(map.reduce((sum, x) => sum + x, 0) / map.length);
const rounded = (x: number): number => Number(x.toPrecision(6));

/** The maps, and each layer's sums over the steps. */
async function writeTensors(file: string, { maps, steps }: ExplainedRun, options: MapOptions): Promise<void> {
  const { height, width, tokens, words } = maps;
  const f32 = (data: Float32Array, ...shape: number[]) => ({ dtype: "F32" as const, shape, data });
  await writeSafetensors(
    file,
    new Map([
      ["token_maps", f32(maps.tokenMaps(options), tokens.length, height, width)],
      ["word_maps", f32(maps.wordMaps(options), words.length, height, width)],
      ...steps.map(
        (step, i) => [`steps.${i}.word_maps`, f32(step.words, words.length, height, width)] as const,
      ),
      ...maps.layers.map(
        ({ path, heads, data, ...own }) =>
          [`layer.${path}`, f32(data, heads, tokens.length, own.height, own.width)] as const,
      ),
    ]),
  );
}

/** Two models' runs of one request: each step beside the other's, each word's maps, and the numbers. */
export async function writeBeside(folder: string, a: ExplainedRun, b: ExplainedRun): Promise<string[]> {
  const names = ["beside-steps.png", "beside-words.png", "beside.json"].map((name) =>
    path.join(folder, name),
  );
  const [steps, words, json] = names as [string, string, string];
  const caption = `Same request and seed (${a.image.seed}). Grey or white: no difference.`;
  const [first, second] = a.name === b.name ? [`${a.name} (1)`, `${b.name} (2)`] : [a.name, b.name];
  await writeSheet(steps, {
    title: `What each step predicts for ${titleOf(a)}`,
    caption,
    columns: timesteps(a),
    rows: [
      [first, a.steps.map(({ guided }) => guided)],
      [second, a.steps.map((_, i) => b.steps[i]?.guided)],
      [
        "difference",
        a.steps.map(({ guided }, i) => b.steps[i] && differenceImage(guided, b.steps[i].guided)),
      ],
    ],
  });
  const apart = a.maps.words.map((_, i) => mapDifference(a, b, i));
  await writeSheet(words, {
    title: `Where each word of ${titleOf(a)} went`,
    caption: `${caption} Red: more in ${second}, blue: less.`,
    columns: ["image", ...a.maps.words.map(({ word }) => word)],
    rows: [
      ...[a, b].map(
        ({ image, maps }, i) =>
          [
            [first, second][i]!,
            [image, ...maps.words.map((_, w) => overlaid(image, maps.heatMap(w, image)))],
          ] as const,
      ),
      ["difference", [differenceImage(a.image, b.image), ...apart.map(({ image }) => image)]],
    ],
  });
  const numbers = {
    models: [a.name, b.name],
    words: a.maps.words.map(({ word }, i) => ({ word, correlation: apart[i]!.correlation })),
    steps: a.steps.map(({ timestep, latents }, i) => ({
      timestep,
      relativeDifference: b.steps[i] && rounded(distance(latents, b.steps[i].latents)),
    })),
  };
  await writeWhole(json, `${JSON.stringify(numbers, null, 1)}\n`);
  return names;
}

/** Of two maps with the same mean: the second less the first over the largest value, and Pearson's correlation. */
function mapDifference(a: ExplainedRun, b: ExplainedRun, word: number) {
  const { height, width } = a.maps;
  const size = height * width;
  const [x, y] = [a, b].map(({ maps }) => {
    const map = maps.wordMaps().slice(word * size, (word + 1) * size);
    const center = map.reduce((sum, value) => sum + value, 0) / size;
    return map.map((value) => value / center - 1);
  }) as [Float32Array, Float32Array];
  const dot = (p: Float32Array, q: Float32Array) => p.reduce((sum, value, i) => sum + value * q[i]!, 0);
  const most = Math.max(...x.map(Math.abs), ...y.map(Math.abs));
  const apart = bicubic(a.maps, a.image)(x.map((value, i) => (y[i]! - value) / most));
  return {
    image: signedImage(apart, a.image),
    correlation: rounded(dot(x, y) / Math.sqrt(dot(x, x) * dot(y, y))),
  };
}

/** Length of the difference over that of the first. */
function distance(x: Float32Array, y: Float32Array): number {
  let [apart, whole] = [0, 0];
  for (const [i, value] of x.entries()) {
    apart += (value - y[i]!) ** 2;
    whole += value ** 2;
  }
  return Math.sqrt(apart / whole);
}
