/** @file The options of opening a model, and their check before anything is read or downloaded. */

import {
  type Precision,
  parseDevice,
  parsePrecision,
  parseWeights,
  type WeightFormat,
} from "../engine/device.js";
import type { Engine } from "../engine/engine.js";
import { checkThreads } from "../engine/thread-count.js";
import { InvalidRequest } from "../errors.js";
import type { ConfirmDownload, DownloadProgress } from "../hub/fetch.js";
import { checkOptionNames, type OptionNames } from "../validation.js";
import type { Embedding } from "./embeddings.js";
import type { Lora } from "./lora.js";
import type { PipelineEngineOptions } from "./pipeline-engine.js";

export type LoadOptions = {
  /** Branch, tag or commit of a model on the Hub. "main" if left out, unless the model's name has one. */
  revision?: string;
  /**
   * File variant such as "fp16", for every component that has it; "plain" for the files without one. If left out the plain
   * files, else the only variant; of what is downloaded fp16, where there is such a file. In which type the numbers lie
   * there changes nothing about the arithmetic, which is `dtype`.
   */
  variant?: string;
  /**
   * Where the networks run: "cpu", "webgpu", "cuda", "dml" or "coreml", one of several as in "cuda:1", or "auto", the best
   * that passes its self-test on this machine. "cpu" if left out, in a browser "auto". `to` moves an open pipeline.
   */
  device?: string;
  /**
   * The type of the arithmetic, which the CPU always does in float32; which files are read is `variant`. "float32" if
   * left out.
   */
  dtype?: Precision;
  /**
   * How the weights of U-Net and text encoders are held: "stored", as their files have them, or linear layers in eight
   * bits, which changes images slightly: "int8" in blocks of 128, which is nearest, "int8-fast" in whole rows. They are
   * quantised once, with LoRAs, and kept in the cache folder. On the CPU alone. "stored" if left out.
   */
  weights?: WeightFormat;
  /**
   * Lets operations that the device has no kernel for run on the CPU, with a warning. If left out, a matrix product,
   * convolution, norm or attention there is an EngineError.
   */
  allowCpuFallback?: boolean;
  /** Takes a graphics driver that computes on the CPU, such as lavapipe. If left out, that is an EngineError. */
  allowSoftwareAdapter?: boolean;
  /**
   * Bytes of the device's memory that may be taken. If left out, what is known of the device: the machine's memory on the
   * CPU, what `nvidia-smi` says with CUDA.
   */
  deviceMemory?: number;
  /**
   * Another U-Net: a folder with its config.json, the folder of a whole model, or a file of weights. A file without a
   * config.json beside it is used with the folder's, as SDXL-Lightning ships.
   */
  unet?: string;
  /**
   * Another autoencoder: a folder with its config.json, the folder of a whole model, or a file: of an AutoencoderKL in
   * Diffusers' names or the original ones, or TAESD's decoder, with the encoder's beside it. A file without a config.json
   * beside it decodes with the scaling factor of the model's own autoencoder, which it replaces. "tiny" is the TAESD that
   * lies in the model's folder or next to it: `vae_tiny`, `taesdxl` or `taesd` by the model's family, or its file.
   */
  vae?: string;
  /**
   * Other text encoders, the first and SDXL's second: a folder with its config.json, the folder of a whole model, or a
   * file in Hugging Face's or open_clip's names, which is used with the model's own config.
   */
  textEncoder?: string;
  textEncoder2?: string;
  /**
   * A safety checker, for models that ship none or in place of their own: the folder of a `StableDiffusionSafetyChecker`, or
   * of a whole model that has one. null opens the model without its own, which is then not downloaded either. If left out,
   * the model's own, where it has one.
   */
  safetyChecker?: string | null;
  /**
   * Of a single file: a diffusers folder whose configs and tokenizers count instead of those that the file's shapes show.
   * Its weights are not read.
   */
  config?: string;
  /**
   * Of a single file, which has none: the folder of CLIP's tokenizer, or of a model with one. If left out, that of
   * `config`, else `openai/clip-vit-large-patch14` from the Hub's cache or the Hub.
   */
  tokenizer?: string;
  /** Of a single file: takes the moving average of the U-Net's weights (`model_ema.*`). False if left out. */
  ema?: boolean;
  /** Added to the weights of U-Net and text encoders, all of them together. None if left out. */
  loras?: readonly Lora[];
  /**
   * Textual inversions: words in prompts that stand for the vectors of a file. None if left out. As in Diffusers, a text
   * with one is pooled at the last of its vectors where the text encoder's `eos_token_id` is 2, else at the end token.
   */
  embeddings?: readonly Embedding[];
  /**
   * Where prompts in A1111's syntax find their LoRAs: `<lora:NAME:0.8>` is NAME.safetensors in this folder or one inside it.
   */
  loraFolder?: string;
  /** Threads of one operation. 0, the default, is one per core. */
  threads?: number;
  /**
   * In a browser the URL of the folder with ONNX Runtime's `.mjs` and `.wasm` files, those of `onnxruntime-web/dist`. Where
   * the bundler put them if left out, which Vite and webpack do. Refused elsewhere.
   */
  onnxRuntimeFolder?: string;
  /** Called while files are downloaded, with the bytes done and in all. */
  onProgress?: (progress: DownloadProgress) => void;
  /** Called before the weights of a model are downloaded, with their bytes; false leaves them, with a `Cancelled` error. */
  confirmDownload?: ConfirmDownload;
  /** The Hub's token for gated and private models. In Node $HF_TOKEN, or that of "hf auth login", if left out. */
  token?: string;
  /** The URL of a mirror of the Hub. In Node $HF_ENDPOINT, if that is set; https://huggingface.co if left out. */
  endpoint?: string;
  /** Stops a download, with a `Cancelled` error; what was downloaded is kept. */
  signal?: AbortSignal;
  /**
   * Runs the networks; a new one in a worker thread of its own if left out, which `close` ends.
   *
   * @internal
   */
  engine?: Engine;
};

const loadNames: OptionNames<LoadOptions> = {
  revision: true,
  variant: true,
  device: true,
  dtype: true,
  weights: true,
  allowCpuFallback: true,
  allowSoftwareAdapter: true,
  deviceMemory: true,
  unet: true,
  vae: true,
  textEncoder: true,
  textEncoder2: true,
  safetyChecker: true,
  config: true,
  tokenizer: true,
  ema: true,
  loras: true,
  loraFolder: true,
  embeddings: true,
  threads: true,
  onnxRuntimeFolder: true,
  onProgress: true,
  confirmDownload: true,
  token: true,
  endpoint: true,
  signal: true,
  engine: true,
};

const loraNames: OptionNames<Lora> = { file: true, scale: true };
const embeddingNames: OptionNames<Embedding> = { token: true, file: true };

/** Throws an InvalidRequest that names the option. */
export function checkLoadOptions(options: LoadOptions): void {
  checkOptionNames("fromPretrained", options, loadNames);
  for (const lora of options.loras ?? []) checkOptionNames("a LoRA", lora, loraNames);
  for (const one of options.embeddings ?? []) checkOptionNames("an embedding", one, embeddingNames);
  if (options.threads !== undefined) checkThreads(options.threads);
  checkDeviceOptions(options);
}

type PlacedOptions = Pick<
  LoadOptions,
  "device" | "dtype" | "weights" | "allowCpuFallback" | "allowSoftwareAdapter" | "deviceMemory"
>;

/** Throws an InvalidRequest that names the option. */
export function checkDeviceOptions(options: PlacedOptions & { engine?: Engine }): void {
  const { device, dtype, weights, deviceMemory, engine } = options;
  const given = { device, dtype, weights, allowCpuFallback: options.allowCpuFallback };
  const beside = engine && Object.entries(given).find(([, value]) => value !== undefined);
  if (beside)
    throw new InvalidRequest(beside[0], beside[1], "must be left out beside an engine, which has its own.");
  if (device !== undefined) parseDevice(device);
  if (dtype !== undefined) parsePrecision(dtype);
  if (weights !== undefined) parseWeights(weights);
  for (const name of ["allowCpuFallback", "allowSoftwareAdapter"] as const) {
    const value: unknown = options[name];
    if (value === undefined || typeof value === "boolean") continue;
    throw new InvalidRequest(name, value, `must be true or false, got ${JSON.stringify(value)}.`);
  }
  if (deviceMemory === undefined || (Number.isSafeInteger(deviceMemory) && deviceMemory > 0)) return;
  const rule = `must be a whole number of bytes, got ${JSON.stringify(deviceMemory)}. 8e9 is 8 GB.`;
  throw new InvalidRequest("deviceMemory", deviceMemory, rule);
}

/** The options that an engine is opened with. */
export function deviceOptions(options: LoadOptions): PipelineEngineOptions {
  const {
    device,
    dtype,
    weights,
    threads = 0,
    allowCpuFallback,
    allowSoftwareAdapter,
    deviceMemory,
    onnxRuntimeFolder,
  } = options;
  return {
    threads,
    ...(device !== undefined && { device }),
    ...(dtype !== undefined && { dtype }),
    ...(weights !== undefined && { weights }),
    ...(allowCpuFallback !== undefined && { allowCpuFallback }),
    ...(allowSoftwareAdapter !== undefined && { allowSoftwareAdapter }),
    ...(deviceMemory !== undefined && { deviceMemory }),
    ...(onnxRuntimeFolder !== undefined && { onnxRuntimeFolder }),
  };
}
