/**
 * @file Devices: where programs run, and, in one table, what lowering chooses there and why. A fused operator in the
 * table is a candidate: on every device but the CPU it is used only after it has passed the self-test on that machine.
 */

import { closest } from "../closest.js";
import { InvalidRequest } from "../errors.js";
import type { ElementType } from "./onnx.js";

/** ONNX Runtime's execution providers that this engine can use. */
export const providers = ["cpu", "webgpu", "cuda", "dml", "coreml"] as const;
export type Provider = (typeof providers)[number];

/** The type of a device's arithmetic; how weights lie in their files is another matter. */
export type Precision = "float32" | "float16";
const precisions: readonly Precision[] = ["float32", "float16"];

/**
 * How the weights of linear layers are held: as in their files, or quantised to eight bits, in blocks of a row or whole
 * rows.
 */
export type WeightFormat = "stored" | "int8" | "int8-fast";
export const weightFormats = ["stored", "int8", "int8-fast"] as const satisfies readonly WeightFormat[];
export type QuantizedFormat = Exclude<WeightFormat, "stored">;

/** What lowering chooses by where an operation can be written in several ways. */
type Capabilities = {
  /** `com.microsoft.MultiHeadAttention`: attention without its matrix of scores. Else it is composed. */
  readonly fusedAttention: boolean;
  /** `com.microsoft.FusedMatMul`: products of transposed matrices without a copy. Else a Transpose and a MatMul. */
  readonly fusedMatmul: boolean;
  /** `com.microsoft.QuickGelu`: x sigmoid(alpha x) in one pass. Else a Sigmoid and a Mul. */
  readonly fusedSilu: boolean;
  /** Whether wide 3x3 convolutions are computed by Winograd's algorithm: `rewrite/winograd-layers.ts`. */
  readonly winograd: boolean;
  /** Whether programs are rewritten for training, with channels last: `rewrite/channels-last.ts`. */
  readonly channelsLast: boolean;
  /** Linear layers as `Gemm`, which takes the weight as it lies in its file, and the bias. Else MatMul and Add. */
  readonly gemm: boolean;
  /** The one epsilon that every InstanceNormalization gets, its input being scaled so that the result is the same. */
  readonly normEpsilon: number | undefined;
  /** The most bytes that the scores of composed attention may take at once: queries are cut into slices that fit. */
  readonly attentionBytes: number | undefined;
  /** Whether sinusoidal embeddings are computed outside the device and given to it. */
  readonly hostSinusoids: boolean;
  /** Whether rows of embedding tables are looked up outside the device, which then does not hold the table. */
  readonly hostTokenLookup: boolean;
  /**
   * Whether weights stay in memory in the type of their file, widened layer by layer: ONNX Runtime's optimisers are off.
   * A device without half precision cannot widen them.
   */
  readonly weightsAsStored: boolean;
  /** Networks of more bytes in float32 have `weightsAsStored`. */
  readonly mostWidened: number | undefined;
  /** Types of weights that ONNX Runtime has no kernels for there: they are widened to float32 as they are read. */
  readonly widenedAsRead: readonly ElementType[];
};

/** Where programs run. Plain data, which can be sent to a thread. */
export type Device = Capabilities & {
  /** As it is asked for: `cpu`, `webgpu`, `cuda`, `cuda:1`. */
  readonly name: string;
  readonly provider: Provider;
  /** Which of several devices of this provider. */
  readonly index: number;
  readonly dtype: Precision;
  readonly weights: WeightFormat;
};

/** The ONNX standard alone. */
const plain: Capabilities = {
  fusedAttention: false,
  fusedMatmul: false,
  fusedSilu: false,
  winograd: false,
  channelsLast: false,
  gemm: false,
  normEpsilon: undefined,
  attentionBytes: undefined,
  hostSinusoids: false,
  hostTokenLookup: false,
  weightsAsStored: false,
  mostWidened: undefined,
  widenedAsRead: [],
};

/**
 * Storage buffers of a GPU by Vulkan and WebGPU may be limited to 128 MiB, and slices of this size are large enough to
 * keep any GPU busy.
 */
const largestBuffer = 2 ** 27;

const table: Readonly<Record<Provider, Capabilities>> = {
  // Its kernels have been compared with the standard's by the goldens since the first release.
  cpu: { ...plain, fusedAttention: true, fusedMatmul: true, fusedSilu: true, winograd: true },
  webgpu: {
    ...plain,
    // Wrong from 32 queries on with two software drivers (ONNX Runtime 1.30), so it depends on the self-test.
    fusedAttention: true,
    // There is no kernel for FusedMatMul: it would run on the CPU, between copies.
    fusedMatmul: false,
    fusedSilu: true,
    // Half the error of MatMul, and no Transpose that would be folded into a second copy of the weights.
    gemm: true,
    // The epsilon is missing from the shader cache's key, so all norms of a session get the first one's.
    normEpsilon: 1e-5,
    attentionBytes: largestBuffer,
    // Vulkan promises little for the sine of 999 radians: 1.9e-4 was seen.
    hostSinusoids: true,
    // A CLIP table in float32 is 253 MB, near or above a buffer's limit, for 77 rows.
    hostTokenLookup: true,
    // With optimisers on, half-precision weights would be widened at load, to twice the memory.
    weightsAsStored: true,
  },
  // From documentation, untested: CUDA has kernels for all three; cuBLAS takes transposed weights.
  cuda: {
    ...plain,
    fusedAttention: true,
    fusedMatmul: true,
    fusedSilu: true,
    gemm: true,
    attentionBytes: 4 * largestBuffer,
  },
  // From documentation, untested: DirectML has a kernel for MultiHeadAttention; its GEMM takes transposed weights.
  dml: { ...plain, fusedAttention: true, gemm: true, attentionBytes: 4 * largestBuffer },
  // From documentation, untested: Core ML's own operators alone.
  coreml: { ...plain, gemm: true, attentionBytes: largestBuffer },
};

/** A device of this provider as the table has it, before a self-test. */
export function deviceOf(
  provider: Provider,
  { index = 0, dtype = "float32" as Precision, weights = "stored" as WeightFormat } = {},
): Device {
  const capabilities = table[provider];
  // Who asks for quantised weights is short of memory.
  const winograd = capabilities.winograd && weights === "stored";
  return { name: deviceName(provider, index), provider, index, dtype, weights, ...capabilities, winograd };
}

/** ONNX Runtime's CPU provider. */
export const cpu: Device = deviceOf("cpu");

/**
 * The same device in a browser, where ONNX Runtime's builds have fewer types (1.30). The CPU is WebAssembly there, which
 * addresses 4 GiB: KOALA-700M's U-Net would take 3.1 of them in float32.
 */
export const inBrowser = (device: Device): Device => ({
  ...device,
  widenedAsRead: ["F64", "BF16", "F8_E4M3", "F8_E5M2"],
  ...(device.provider === "cpu" && { mostWidened: 2 ** 30, winograd: false }),
});

/** The same device for a network of so many bytes in float32. */
export const forNetwork = (device: Device, bytes: number): Device =>
  bytes > (device.mostWidened ?? Infinity)
    ? { ...device, weightsAsStored: true, hostTokenLookup: true } // a table would be widened for a few rows
    : device;

/** The ONNX standard alone, which any execution provider supports: what the fused operators are compared with. */
export const standard: Device = { ...cpu, ...plain };

/** `cuda` is the first one, as is `cuda:0`. */
function deviceName(provider: Provider, index: number): string {
  return index === 0 ? provider : `${provider}:${index}`;
}

/** Which device is asked for; `auto` is the best that there is. */
export type DeviceRequest = "auto" | { readonly provider: Provider; readonly index: number };

/** Providers of which a machine may have several devices, with a number each. */
const indexed: readonly Provider[] = ["cuda", "dml"];

/** What other programs call these devices. */
const otherNames: Readonly<Record<string, string>> = {
  gpu: "auto",
  mps: "webgpu",
  directml: "dml",
  vulkan: "webgpu",
  wasm: "cpu",
};

/** Reads a device's name, such as `webgpu` or `cuda:1`; InvalidRequest for one that no provider has. */
export function parseDevice(name: unknown): DeviceRequest {
  const refuse = (rule: string): never => {
    throw new InvalidRequest(
      "device",
      name,
      `${rule}, got ${JSON.stringify(name) ?? String(name)}.${hint(name)}`,
    );
  };
  if (typeof name !== "string") return refuse(`must be ${allNames}`);
  if (name === "auto") return "auto";
  const [, given, digits] = /^([a-z]+)(?::(\d{1,3}))?$/.exec(name) ?? [];
  const provider = providers.find((known) => known === given);
  if (!provider) return refuse(`must be ${allNames}`);
  const index = Number(digits ?? 0);
  if (index > 0 && !indexed.includes(provider))
    return refuse(`must have no number after "${provider}", of which only one can be used`);
  return { provider, index };
}

const allNames = `auto, ${providers.join(", ")}, or one of several as in cuda:1`;

function hint(name: unknown): string {
  if (typeof name !== "string") return "";
  const [word = ""] = name.toLowerCase().split(":");
  const meant = otherNames[word] ?? closest(word, ["auto", ...providers]);
  return meant === undefined || meant === name ? "" : ` Did you mean "${meant}"?`;
}

/** Refuses what is not the name of a type of arithmetic; InvalidRequest. */
export function parsePrecision(dtype: unknown): Precision {
  const known = precisions.find((name) => name === dtype);
  if (known) return known;
  const rule = `must be ${precisions.join(" or ")}, got ${JSON.stringify(dtype) ?? String(dtype)}.`;
  throw new InvalidRequest("dtype", dtype, `${rule} It is the type of the arithmetic.`);
}

/** Refuses what is not the name of a format of weights; InvalidRequest. */
export function parseWeights(weights: unknown): WeightFormat {
  const known = weightFormats.find((name) => name === weights);
  if (known) return known;
  const rule = `must be ${weightFormats.join(" or ")}, got ${JSON.stringify(weights) ?? String(weights)}.`;
  throw new InvalidRequest("weights", weights, `${rule} It is how weights are held in memory.`);
}
