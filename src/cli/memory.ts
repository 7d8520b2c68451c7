/** @file `koala memory`: estimates the memory that generating takes, before anything is loaded. */

import { Command, InvalidArgumentError } from "commander";
import { availableMemory } from "../engine/memory/available.js";
import { blockingEngine } from "../engine/ort/blocking-engine.js";
import type { ImageSize } from "../image/pixels.js";
import { modelOrBundled } from "../pipeline/bundled-model.js";
import { side } from "../pipeline/check-request.js";
import { loadComponents } from "../pipeline/components.js";
import type { Lora } from "../pipeline/lora.js";
import { estimateMemory, planMemory, type RunBytes } from "../pipeline/memory-estimate.js";
import { loraOption } from "./lora.js";
import { downloadComponents, downloadModel } from "./models.js";
import { type SingleFileFlags, singleFileFlags, withSingleFileFlags } from "./single-file.js";
import { textTable } from "./table.js";
import { size, warn } from "./terminal.js";

type Options = SingleFileFlags & {
  /** Squares, and the model's own size if that is none, if left out. */
  sizes?: ImageSize[];
  batch: number;
  guidance: boolean;
  vae?: string;
  unet?: string;
  textEncoder?: string;
  textEncoder2?: string;
  lora?: Required<Lora>[];
  revision?: string;
  json?: boolean;
};

/** What one size takes, in bytes; `pixels` is the side of a square. */
type MemoryRow = RunBytes & ImageSize & { pixels?: number; fits: ReturnType<typeof planMemory> };
export type MemoryReport = {
  available: number;
  batch: number;
  guidance: boolean;
  rows: readonly MemoryRow[];
};

export function memoryCommand(): Command {
  const command = new Command("memory")
    .description(
      "Estimate the memory that generating takes, component by component, and whether there is enough. Loads nothing; " +
        "of a model on the Hub it downloads the configs and not the weights, of what is given beside it all.",
    )
    .argument("[model]", "diffusers folder, single file or Hub id (default: the bundled model)")
    .option(
      "--sizes <list>",
      "squares of so many pixels, or WIDTHxHEIGHT (default: 512,768,1024 and the model's own if it is no square)",
      sizesOf,
    )
    .option("-b, --batch <n>", "images at once", batchOf, 1)
    .option("--no-guidance", "as with a guidance of 1 or less: no second pass")
    .option("--vae <path>", "another autoencoder: folder, file or name on the Hub")
    .option("--unet <path>", "another U-Net, as SDXL-Lightning ships: the same")
    .option("--text-encoder <path>", "another text encoder, SDXL's first: the same")
    .option("--text-encoder-2 <path>", "another second text encoder of SDXL: the same")
    .option("--lora <path[:scale]>", "with this LoRA: the same; may be given again", loraOption)
    .option("--revision <name>", "branch, tag or commit of a Hub id")
    .option("--json", "print JSON")
    .addHelpText("after", "\nExample:\n  koala memory etri-vilab/koala-lightning-700m --sizes 512,1024\n")
    .action(async (model: string | undefined, { json, ...options }: Options) => {
      const found = await memoryReport(modelOrBundled(model, "model"), options);
      process.stdout.write(json ? `${JSON.stringify(found, undefined, 2)}\n` : table(found));
    });
  return withSingleFileFlags(command);
}

/** Reads the model's configs, and of files that are given beside it the headers; never weights. */
async function memoryReport(model: string, options: Omit<Options, "json">): Promise<MemoryReport> {
  const { batch, guidance, revision } = options;
  const { lora, ...replaced } = await downloadComponents(options);
  const folder = await downloadModel(model, {
    configsOnly: true,
    ...(revision !== undefined && { revision }),
  });
  const components = await loadComponents(folder, {
    engine: blockingEngine(),
    configsOnly: true,
    ...singleFileFlags(options),
    ...replaced,
    ...(lora !== undefined && { loras: lora }),
  });
  for (const warning of components.warnings) warn(warning);
  const available = availableMemory();
  const passes = guidance ? 2 * batch : batch;
  const own = components.trainedSize;
  const usual = [...[512, 768, 1024].map(square), ...(own.width === own.height ? [] : [own])];
  const rows = (options.sizes ?? usual).map(({ width, height }): MemoryRow => {
    for (const pixels of [width, height]) side("--sizes", pixels, components.vae.factor);
    const bytes = estimateMemory(components, { width, height, batch, passes, encodes: false });
    const pixels = width === height ? { pixels: width } : {};
    return { ...pixels, width, height, ...bytes, fits: planMemory(bytes, available) };
  });
  return { available, batch, guidance, rows };
}

/** A column for each size; without the process's own memory in the rows of components. */
function table({ available, batch, guidance, rows }: MemoryReport): string {
  const columns = [
    { title: "peak" },
    ...rows.map(({ width, height }) => {
      const title = width === height ? `${width} px` : `${width}x${height} px`;
      return { title, numeric: true };
    }),
  ];
  const parts = rows[0]!.components.map(({ name }, i) => [
    name,
    ...rows.map((row) => size(row.components[i]!.peak)),
  ]);
  const fits = { kept: "yes", "one by one": "one by one", no: "no" } as const;
  const body = textTable(columns, [
    ...parts,
    ["all kept loaded", ...rows.map((row) => size(row.kept))],
    ["one after the other", ...rows.map((row) => size(row.oneByOne))],
    ["fits", ...rows.map((row) => fits[row.fits])],
  ]);
  const title = `${size(available)} available; ${batch} at once, ${guidance ? "with" : "without"} guidance`;
  return `${title}\n\n${body}`;
}

const square = (side: number): ImageSize => ({ width: side, height: side });

function sizesOf(value: string): ImageSize[] {
  return value.split(",").map((size) => {
    const [, width, height = width] = /^([1-9]\d*)(?:x([1-9]\d*))?$/.exec(size.trim()) ?? [];
    if (width !== undefined) return { width: Number(width), height: Number(height) };
    throw new InvalidArgumentError(`"${value}" is not a list of sizes such as 512,768 or 832x1216.`);
  });
}

function batchOf(value: string): number {
  const batch = Number(value);
  if (Number.isInteger(batch) && batch >= 1 && batch <= 1024) return batch;
  throw new InvalidArgumentError(`"${value}" is not a whole number from 1 to 1024.`);
}
