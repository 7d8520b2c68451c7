/**
 * @file The folder of a grid: a manifest, its cells, and the sheet. A cell's file name ends in a hash of everything it
 * is generated from, so a whole file that is there is the cell, whatever stopped the command before.
 */

import path from "node:path";
import { z } from "zod";
import { InvalidRequest } from "../errors.js";
import { ifThere, readFile, writeWhole } from "../files/file-system.js";
import { type Axes, axisLabel, type Cell } from "../grid/axes.js";
import { decodeImage } from "../image/codec.js";
import type { Placement } from "../jobs/placements.js";
import type { JobRequest } from "../jobs/processor.js";
import type { ModelMetadata } from "../pipeline/metadata/schema.js";
import { bytesHash, hashOf } from "../weights/fingerprint.js";

const manifestName = "grid.json";
export const sheetName = "grid.png";

/** What decides whether a folder holds this grid; the rest of a manifest is for other programs. */
const known = z.object({
  format: z.literal(1),
  prompt: z.string(),
  seed: z.string().regex(/^\d{1,20}$/),
  model: z.object({ fingerprint: z.string() }),
});

export type Manifest = {
  format: 1;
  prompt: string;
  /** Of all cells, where no axis varies it. */
  seed: string;
  model: ModelMetadata;
  /** Where its cells were generated last. */
  device: string;
  dtype: string;
  weights?: string | undefined;
  axes: Axes;
  cells: readonly { column: number; row: number; file: string; settings: JobRequest["settings"] }[];
};

/** The seed of the grid that the folder holds, if it holds one; InvalidRequest if it is another grid. */
export async function seedBefore(
  folder: string,
  prompt: string,
  model: ModelMetadata,
): Promise<string | undefined> {
  const file = path.join(folder, manifestName);
  const text = await ifThere(() => readFile(file, "utf8"));
  if (text === undefined) return undefined;
  const { success, data } = known.safeParse(parsed(text));
  const other =
    !success || data.prompt !== prompt
      ? "another prompt"
      : data.model.fingerprint === model.fingerprint
        ? undefined
        : "another model";
  if (other === undefined) return data?.seed;
  const rule = `must be an empty folder or one of the same grid, got ${folder} with a grid of ${other}. Name another.`;
  throw new InvalidRequest("--output", folder, rule);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** The model of a grid, and the hashes of its LoRAs' files by name. */
export type Weights = { model: ModelMetadata; loraHashes: ReadonlyMap<string, string> };

/** Where a cell's image goes, below the folder. */
export function cellFile(
  { x, y }: Axes,
  { column, row }: Cell,
  request: JobRequest,
  { model, loraHashes, place: { device = "cpu", dtype, weights = "stored" } }: Weights & { place: Placement },
): string {
  const { settings, scheduler, image, mask, texts } = request;
  const sources = [image, mask].map((bytes) => bytes && bytesHash(bytes));
  // Of the CPU as it was before there were others, so that such grids go on; likewise without texts, LoRAs and embeddings.
  const place = [...(device === "cpu" ? [] : [device, dtype]), ...(weights === "stored" ? [] : [weights])];
  const words = texts ? [texts] : [];
  const loras = (settings.lora ?? []).map(({ name }) => loraHashes.get(name));
  const embeddings = (model.embeddings ?? []).map(({ token, sha256 }) => [token, sha256]);
  const beside = [...place, ...words, ...loras, ...embeddings];
  const hash = hashOf([model.fingerprint, settings, scheduler, sources, ...beside]).replace(/^sha256:/, "");
  const labels = [axisLabel(x, column), ...(y ? [axisLabel(y, row)] : [])].map(slug).filter(Boolean);
  return path.join("cells", `${[...labels, hash.slice(0, 12)].join("-")}.png`);
}

/** Whether a cell is there and can be decoded at its size; another file is generated again. FileError. */
export async function isWholeCell(
  file: string,
  { width, height }: { width: number; height: number },
): Promise<boolean> {
  const bytes = await ifThere(() => readFile(file));
  if (bytes === undefined) return false;
  try {
    const { image } = await decodeImage(bytes);
    return image.width === width && image.height === height;
  } catch (error) {
    if (error instanceof InvalidRequest) return false;
    throw error;
  }
}

export const slug = (label: string): string =>
  label
    .toLowerCase()
    .replace(/[^\p{L}\p{N}.]+/gu, "-")
    .replace(/^[-.]+|[-.]+$/g, "")
    .slice(0, 40);

export const writeManifest = (folder: string, manifest: Manifest): Promise<void> =>
  writeWhole(path.join(folder, manifestName), `${JSON.stringify(manifest, undefined, 2)}\n`);
