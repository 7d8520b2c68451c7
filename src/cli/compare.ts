/** @file `koala compare`: the KOALA model card's table of U-Nets, computed from their configs. Needs no weights. */

import { basename, dirname, join, resolve } from "node:path";
import { Command, Option } from "commander";
import { InvalidRequest } from "../errors.js";
import { kindOf, readJson } from "../files/file-system.js";
import type { ImageSize } from "../image/pixels.js";
import { macs, parameters } from "../models/cost.js";
import { knownUnets } from "../models/known.js";
import { traceUnet } from "../models/trace.js";
import { type UNetConfig, unetConfig } from "../models/unet-config.js";
import { manifest } from "../tensor/params.js";
import type { Tensor } from "../tensor/tensor.js";
import { type Column, markdownTable, textTable } from "./table.js";

/** A U-Net to compare: `config` is its parsed `config.json`, `file` the path that error messages name. */
export type Candidate = { readonly name: string; readonly config: unknown; readonly file?: string };

export type Row = {
  readonly name: string;
  readonly parameters: number;
  readonly tensors: number;
  /** The weights alone, without the checkpoint's header. */
  readonly bytes: { readonly float32: number; readonly float16: number };
  /** How much smaller than SDXL, from 0 to 1; negative for a larger one. */
  readonly reduction: number;
  /**
   * Layers of each transformer on the way down, highest resolution first; 0 where there is none. (The model card has
   * [1,1,1,1] for SD 2, as its config says, but that U-Net's lowest stage has no transformer.)
   */
  readonly transformerLayers: readonly (number | readonly number[])[];
  /** All `BasicTransformerBlock`s: down, middle and up. */
  readonly transformerBlocks: number;
  readonly midBlock: boolean;
  /** Multiply-accumulates of one forward pass (batch 1, 77 tokens); `size` such as "1024" or "1152x896" pixels. */
  readonly work: readonly { readonly size: string; readonly macs: number }[];
};

const formats = ["table", "markdown", "json"] as const;
export type Format = (typeof formats)[number];

/** The U-Nets of the paper's table (Lee et al. 2024, table 2, and BK-SDXL of section 3.1.1). */
export const published = (): Candidate[] =>
  Object.entries(knownUnets).map(([name, config]) => ({ name, config }));

/** One row per candidate. Throws a ModelError that names the config's field. */
export function comparison(candidates: readonly Candidate[], sizes: readonly ImageSize[]): Row[] {
  const teacher = measure(unetConfig(knownUnets.SDXL), 128, 128).parameters;
  return candidates.map(({ name, config, file }) => {
    const c = unetConfig(config, file);
    // Weights do not depend on the size, so any size will do.
    const { parameters, tensors } = measure(c, 8, 8);
    return {
      name,
      parameters,
      tensors,
      bytes: { float32: 4 * parameters, float16: 2 * parameters },
      reduction: 1 - parameters / teacher,
      transformerLayers: c.down.map((stage) => collapsed(stage.depths ?? [0])),
      transformerBlocks: [...c.down, ...(c.mid ? [c.mid] : []), ...c.up]
        .flatMap((stage) => stage.depths ?? [])
        .reduce((a, b) => a + b, 0),
      midBlock: c.mid !== undefined,
      work: sizes.map((size) => ({
        size: label(size),
        macs: measure(c, size.height / 8, size.width / 8).macs,
      })),
    };
  });
}

function measure(c: UNetConfig, height: number, width: number) {
  let output: Tensor | undefined;
  const weights = manifest((p) => {
    output = traceUnet(p, c, { height, width });
  });
  return { parameters: parameters(weights), tensors: weights.size, macs: macs([output!]) };
}

const collapsed = (depths: readonly number[]) => (new Set(depths).size === 1 ? depths[0]! : depths);

const label = ({ width, height }: ImageSize) => (width === height ? `${width}` : `${width}x${height}`);

/** The rows as text for a terminal, as Markdown, or as JSON with exact numbers; ends in a newline. */
export function render(rows: readonly Row[], format: Format): string {
  if (format === "json") return `${JSON.stringify(rows, null, 2)}\n`;
  const sizes = rows[0]?.work ?? [];
  const columns: Column[] = [
    { title: "U-Net" },
    { title: "Parameters", numeric: true },
    { title: "vs SDXL", numeric: true },
    { title: "fp32 GB", numeric: true },
    { title: "fp16 GB", numeric: true },
    { title: "Layers" },
    { title: "Blocks", numeric: true },
    { title: "Mid" },
    { title: "Tensors", numeric: true },
    ...sizes.map(({ size }) => ({ title: `GMAC ${size}`, numeric: true })),
  ];
  const cells = rows.map((row) => [
    row.name,
    decimal(row.parameters, 0),
    row.reduction === 0
      ? ""
      : `${row.reduction > 0 ? "-" : "+"}${decimal(100 * Math.abs(row.reduction), 1)}%`,
    decimal(row.bytes.float32 / 1e9, 2),
    decimal(row.bytes.float16 / 1e9, 2),
    JSON.stringify(row.transformerLayers),
    decimal(row.transformerBlocks, 0),
    row.midBlock ? "yes" : "no",
    decimal(row.tensors, 0),
    ...row.work.map(({ macs }) => decimal(macs / 1e9, 1)),
  ]);
  return format === "markdown" ? markdownTable(columns, cells) : textTable(columns, cells);
}

const decimal = (x: number, digits: number): string =>
  x.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });

/** Reads "1024,512" or "1152x896" (width x height). Throws an InvalidRequest. */
export function parseSizes(text: string): ImageSize[] {
  return text.split(",").map((part) => {
    const [, w, h = w] = /^\s*(\d{1,5})(?:x(\d{1,5}))?\s*$/.exec(part) ?? [];
    const size = { width: Number(w), height: Number(h) };
    for (const side of Object.values(size)) {
      if (side > 0 && side % 8 === 0) continue;
      const rule = `must be multiples of 8 such as 1024,512 or 1152x896, got ${JSON.stringify(part.trim())}.`;
      throw new InvalidRequest("--size", text, rule);
    }
    return size;
  });
}

/** Reads a model folder, a `unet` folder or a `config.json`. Throws an InvalidRequest or a ModelError. */
export async function candidate(path: string): Promise<Candidate> {
  const candidates = [path, join(path, "unet", "config.json"), join(path, "config.json")];
  for (const file of candidates) {
    if ((await kindOf(file)) === "file") return { name: nameOf(file), config: await readJson(file), file };
  }
  throw new InvalidRequest("model", path, `must be a model folder or a unet/config.json, got "${path}".`);
}

/** `my-model` for `my-model/unet/config.json`, `my-unet` for `my-unet/config.json`, `x` for `x.json`. */
function nameOf(file: string): string {
  const folder = dirname(resolve(file));
  if (basename(file) !== "config.json") return basename(file, ".json");
  return basename(basename(folder) === "unet" ? dirname(folder) : folder);
}

/** The command, to be mounted by the program. */
export function compareCommand(): Command {
  return new Command("compare")
    .description("Compare U-Nets: parameters, checkpoint size, transformer layers and work per forward pass")
    .argument("[model...]", "folders or unet/config.json files of your own, added as rows")
    .option("-s, --size <pixels>", "image sizes to count GMAC at: 1024,512 or 1152x896", "1024,512")
    .addOption(new Option("-f, --format <format>", "how to print").choices(formats).default("table"))
    .addHelpText("after", help)
    .action(async (paths: string[], options: { size: string; format: Format }, command: Command) => {
      const sizes = parseSizes(options.size);
      const own = await Promise.all(paths.map(candidate));
      const { writeOut } = command.configureOutput();
      writeOut!(render(comparison([...published(), ...own], sizes), options.format));
    });
}

const help = `
Everything is computed from the configs; nothing is downloaded. GB are 10^9 bytes. Layers: depth of the
transformers at each resolution, highest first. Blocks: transformer layers in all. GMAC: 10^9 multiply-accumulates
of one forward pass at batch 1 with 77 tokens, attention included; guidance doubles them.

Example:
  $ koala compare --size 1024,768 ./my-model
`;
