/** @file `koala memory`: estimates the memory that generating takes, before anything is loaded. */

import { Command, InvalidArgumentError } from "commander";
import { byteSize } from "../byte-size.js";
import { type Device, deviceOf, type Precision, parseDevice, type WeightFormat } from "../engine/device.js";
import { refuseWeights } from "../engine/find-device.js";
import { attentionBytes, type DeviceMemory, deviceMemory } from "../engine/memory/device-memory.js";
import { blockingEngine } from "../engine/ort/blocking-engine.js";
import { InvalidRequest, ModelError } from "../errors.js";
import { modelOrBundled } from "../hub/bundled-models.js";
import type { ImageSize } from "../image/pixels.js";
import { side } from "../pipeline/check-request.js";
import { loadNetworks, type Networks } from "../pipeline/components.js";
import { type Embedding, withVectors } from "../pipeline/embeddings.js";
import type { Lora } from "../pipeline/lora.js";
import { estimateMemory, planMemory, type RunBytes } from "../pipeline/memory-estimate.js";
import { isCut } from "../pipeline/vae-tiling.js";
import { type DeviceFlags, deviceOption, dtypeOption, weightsOption } from "./device.js";
import { embeddingOption } from "./embedding.js";
import { loraOption } from "./lora.js";
import { downloadComponents, downloadModel } from "./models.js";
import { bytesOption } from "./numbers.js";
import { type SingleFileFlags, singleFileFlags, withSingleFileFlags } from "./single-file.js";
import { textTable } from "./table.js";
import { warn } from "./terminal.js";

type Options = SingleFileFlags &
  Pick<DeviceFlags, "device" | "dtype" | "weights" | "deviceMemory"> & {
    /** Squares, and the model's own size if that is none, if left out. */
    sizes?: ImageSize[];
    batch: number;
    guidance: boolean;
    vae?: string;
    unet?: string;
    textEncoder?: string;
    textEncoder2?: string;
    lora?: Required<Lora>[];
    embedding?: Embedding[];
    safety?: boolean;
    safetyChecker?: string;
    revision?: string;
    json?: boolean;
  };

type Fits = ReturnType<typeof planMemory>;

/**
 * What one size takes, in bytes; `pixels` is the side of a square. `tiled` is what it takes if the autoencoder works in
 * tiles of 512 pixels; absent where that would cut nothing.
 */
type MemoryRow = RunBytes &
  ImageSize & { pixels?: number; fits: Fits; tiled?: { vae: number; oneByOne: number; fits: Fits } };
export type MemoryReport = {
  device: string;
  dtype: Precision;
  weights: WeightFormat;
  /** Bytes that may be taken there; absent where nothing tells. */
  available?: number;
  /** From where that is known. */
  source: string;
  /** Whether such estimates were compared with measurements, or come from documentation alone. */
  basis: RunBytes["basis"];
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
    .option("--vae <path>", "another autoencoder: folder, file, name on the Hub, or tiny")
    .option("--unet <path>", "another U-Net, as SDXL-Lightning ships: the same")
    .option("--text-encoder <path>", "another text encoder, SDXL's first: the same")
    .option("--text-encoder-2 <path>", "another second text encoder of SDXL: the same")
    .option("--safety-checker <path>", "with this safety checker: its folder, or a name on the Hub")
    .option("--no-safety", "without the model's safety checker")
    .option("--device <name>", "predict for cpu (default), webgpu, cuda, dml or coreml", deviceOption)
    .option("--dtype <type>", "arithmetic there: float32 (default) or float16", dtypeOption)
    .option("--weights <format>", "weights there: stored (default), int8 or int8-fast", weightsOption)
    .option("--device-memory <size>", "what may be taken there, such as 8GB", bytesOption)
    .option("--lora <path[:scale]>", "with this LoRA: the same; may be given again", loraOption)
    .option(
      "--embedding <[name=]path>",
      "with this textual inversion: the same; may be given again",
      embeddingOption,
    )
    .option("--revision <name>", "branch, tag or commit of a Hub id")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      "\nExamples:\n  koala memory etri-vilab/koala-lightning-700m --sizes 512,1024\n" +
        "  koala memory ./koala-lightning-700m --device webgpu --device-memory 8GB\n",
    )
    .action(async (model: string | undefined, { json, ...options }: Options) => {
      const found = await memoryReport(modelOrBundled(model, "model"), options);
      process.stdout.write(json ? `${JSON.stringify(found, undefined, 2)}\n` : table(found));
    });
  return withSingleFileFlags(command);
}

/** Reads the model's configs, and of files that are given beside it the headers; never weights. */
async function memoryReport(model: string, options: Omit<Options, "json">): Promise<MemoryReport> {
  const { batch, guidance, revision, safety } = options;
  const { lora, embedding = [], ...replaced } = await downloadComponents(options);
  const folder = await downloadModel(model, {
    configsOnly: true,
    ...(revision !== undefined && { revision }),
  });
  const device = namedDevice(options);
  const networks = await readComponents(folder, device, {
    ...singleFileFlags(options),
    ...replaced,
    ...(safety === false && { safetyChecker: null }),
    ...(lora !== undefined && { loras: lora }),
  });
  const components = { ...networks, textEncoders: await withVectors(networks.textEncoders, embedding) };
  for (const warning of components.warnings) warn(warning);
  const memory = deviceMemory(device, { given: options.deviceMemory });
  const sliced = { ...device, attentionBytes: attentionBytes(device, memory.bytes) };
  const rows = sizesFor(components, options.sizes).map((size) =>
    memoryRow(components, { ...size, batch, passes: guidance ? 2 * batch : batch }, sliced, memory),
  );
  const { name, dtype, weights } = device;
  const { bytes: available, source } = memory;
  const known = available === undefined ? {} : { available };
  return { device: name, dtype, weights, ...known, source, basis: rows[0]!.basis, batch, guidance, rows };
}

/** The device as the table has it, without opening it: attention is composed, as it is where a self-test failed. */
function namedDevice({ device: name = "cpu", dtype = "float32", weights = "stored" }: Options): Device {
  const asked = parseDevice(name);
  if (asked === "auto") {
    const rule = "must be named to predict its memory, got auto. Ask koala devices what there is.";
    throw new InvalidRequest("--device", name, rule);
  }
  if (asked.provider === "cpu") return deviceOf("cpu", { weights });
  if (weights !== "stored") refuseWeights(weights, name);
  return { ...deviceOf(asked.provider, { index: asked.index, dtype }), fusedAttention: false };
}

/** By the configs; for another device than the CPU by the files' headers where there are files, since types matter there. */
async function readComponents(
  folder: string,
  { provider }: Device,
  replaced: Omit<Parameters<typeof loadNetworks>[1], "engine">,
): Promise<Networks> {
  const options = { engine: blockingEngine(), ...replaced };
  const byConfigs = () => loadNetworks(folder, { ...options, configsOnly: true });
  if (provider === "cpu") return byConfigs();
  try {
    return await loadNetworks(folder, options);
  } catch (error) {
    if (!(error instanceof ModelError)) throw error;
    warn("weights: there are only configs, so half-precision files are assumed");
    return byConfigs();
  }
}

function sizesFor({ trainedSize: own, vae }: Networks, given: readonly ImageSize[] | undefined) {
  const usual = [...[512, 768, 1024].map(square), ...(own.width === own.height ? [] : [own])];
  const sizes = given ?? usual;
  for (const { width, height } of sizes)
    for (const pixels of [width, height]) side("--sizes", pixels, vae.factor);
  return sizes;
}

type Batch = ImageSize & { batch: number; passes: number };

function memoryRow(components: Networks, size: Batch, device: Device, { bytes }: DeviceMemory): MemoryRow {
  const { width, height } = size;
  const whole = { ...size, encodes: false };
  const run = estimateMemory(components, whole, device);
  const pixels = width === height ? { pixels: width } : {};
  const row = { ...pixels, width, height, ...run, fits: planMemory(run, bytes) };
  if (!isCut(components.vae.tiling, tileSide, size)) return row;
  const tiled = estimateMemory(components, { ...whole, tile: tileSide }, device);
  const { oneByOne } = tiled;
  const vae = tiled.components.find(({ name }) => name === "vae")!.peak;
  return { ...row, tiled: { vae, oneByOne, fits: planMemory(tiled, bytes) } };
}

/** The tile that is shown: what fits into 1 GB of activations in float32. */
const tileSide = 512;

/** A column for each size; without the process's own memory in the rows of components. */
function table(report: MemoryReport): string {
  const { available, source, device, dtype, weights, basis, batch, guidance, rows } = report;
  const columns = [
    { title: "peak" },
    ...rows.map(({ width, height }) => {
      const title = width === height ? `${width} px` : `${width}x${height} px`;
      return { title, numeric: true };
    }),
  ];
  const parts = rows[0]!.components.map(({ name }, i) => [
    name,
    ...rows.map((row) => byteSize(row.components[i]!.peak)),
  ]);
  const tiles = (title: string, of: (row: MemoryRow) => string) =>
    rows.some(({ tiled }) => tiled) ? [[title, ...rows.map(of)]] : [];
  const body = textTable(columns, [
    ...parts,
    ...tiles(`vae in tiles of ${tileSide} px`, ({ tiled }) => (tiled ? byteSize(tiled.vae) : "")),
    ["all kept loaded", ...rows.map((row) => byteSize(row.kept))],
    ["one after the other", ...rows.map((row) => byteSize(row.oneByOne))],
    ["fits", ...rows.map((row) => answer(row, available !== undefined))],
  ]);
  const held = weights === "stored" ? [] : [`${weights} weights`];
  const place =
    device === "cpu" && weights === "stored" ? "" : `${[device, dtype, ...held, basis].join(", ")}: `;
  const room = available === undefined ? `memory ${source}` : `${byteSize(available)} available`;
  const passes = guidance ? "with" : "without";
  return `${place}${room}${source === "by nvidia-smi" ? ` ${source}` : ""}; ${batch} at once, ${passes} guidance\n\n${body}`;
}

/** Whether it fits, in words. */
function answer({ fits, tiled }: MemoryRow, isKnown: boolean): string {
  if (!isKnown) return "?";
  if (fits !== "no") return fits === "kept" ? "yes" : "one by one";
  return tiled && tiled.fits !== "no" ? "in tiles" : "no";
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
