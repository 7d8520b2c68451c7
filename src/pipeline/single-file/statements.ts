/**
 * @file What a single file says of itself: marker tensors (ComfyUI's `v_pred`, `ztsnr`, `edm_mean`, `edm_std`) and the
 * metadata of its header (kohya's `ss_*`, Stability's `modelspec.*`), as changes of the configs.
 */

import { ModelError } from "../../errors.js";
import type { JsonObject } from "../../files/json.js";
import { readFloat32 } from "../../weights/safetensors-file.js";
import type { WeightSet } from "../../weights/weight-set.js";

export type FileStatements = {
  /** Changes of the scheduler's config. */
  scheduler: JsonObject;
  /** Changes of the autoencoder's config, of Playground v2.5. */
  vae: JsonObject;
  /** Whether the file is Playground v2.5's, which has a scheduler of its own. */
  playground: boolean;
  /** Sides of the images that it was trained with. */
  trainedSize: { width: number; height: number } | undefined;
  /** The same as sentences. */
  notes: string[];
};

type Metadata = Readonly<Record<string, string>>;

/** Reads markers and metadata; ModelError for a kind of model that is not supported, and for markers that are broken. */
export async function fileStatements(
  { tensors, files }: WeightSet,
  metadata: Metadata,
): Promise<FileStatements> {
  const file = files[0]!;
  if (tensors.has("edm_vpred.sigma_max")) {
    const rule = "must predict noise or v over discrete timesteps, got edm_vpred.sigma_max";
    throw new ModelError(
      file,
      `${rule} (EDM with v-prediction, as CosXL), which is not supported. Use another file.`,
    );
  }
  const notes: string[] = [];
  const prediction = predictionType(tensors, metadata, notes);
  const zeroSnr = zeroTerminalSnr(tensors, metadata, notes);
  const latents = await edmLatents(file, tensors, notes);
  return {
    scheduler: {
      ...(prediction !== undefined && { prediction_type: prediction }),
      ...(zeroSnr && { rescale_betas_zero_snr: true }),
    },
    vae: latents ?? {},
    playground: latents !== undefined,
    trainedSize: resolution(metadata),
    notes,
  };
}

function predictionType(
  tensors: WeightSet["tensors"],
  metadata: Metadata,
  notes: string[],
): string | undefined {
  const given = [
    [tensors.has("v_pred") ? "v" : undefined, "the tensor v_pred"],
    [metadata["modelspec.prediction_type"], "modelspec.prediction_type"],
    [metadata.ss_v_parameterization === "True" ? "v" : undefined, "ss_v_parameterization"],
    [
      /-v2-768-v\b/.test(metadata["modelspec.architecture"] ?? "") ? "v" : undefined,
      "modelspec.architecture",
    ],
  ] as const;
  const names: Readonly<Record<string, string>> = {
    v: "v_prediction",
    v_prediction: "v_prediction",
    epsilon: "epsilon",
  };
  for (const [value, where] of given) {
    const found = value === undefined || !Object.hasOwn(names, value) ? undefined : names[value];
    if (found === undefined) continue;
    notes.push(`${where} says that it predicts ${found === "epsilon" ? "noise" : "v"}`);
    return found;
  }
  return undefined;
}

/** ComfyUI reads `ztsnr` beside `v_pred` only. */
function zeroTerminalSnr(tensors: WeightSet["tensors"], metadata: Metadata, notes: string[]): boolean {
  const where =
    tensors.has("v_pred") && tensors.has("ztsnr")
      ? "the tensor ztsnr"
      : metadata.ss_zero_terminal_snr === "True"
        ? "ss_zero_terminal_snr"
        : undefined;
  if (where) notes.push(`${where} says that its noise ends at a signal-to-noise ratio of zero`);
  return where !== undefined;
}

/** Playground v2.5's latents have a mean and a deviation per channel. */
async function edmLatents(
  file: string,
  tensors: WeightSet["tensors"],
  notes: string[],
): Promise<JsonObject | undefined> {
  const [mean, std] = [tensors.get("edm_mean"), tensors.get("edm_std")];
  if (!mean && !std) return undefined;
  const read = async (name: string, entry = tensors.get(name)) => {
    const values = entry && entry.length <= 4096 ? [...(await readFloat32(name, entry))] : [];
    const broken =
      values.length === 0 ||
      values.some((v) => !Number.isFinite(v)) ||
      (name === "edm_std" && values.some((v) => v <= 0));
    if (!broken) return values;
    const rule = `${name}: must be one ${name === "edm_std" ? "positive" : "finite"} number per latent channel`;
    throw new ModelError(
      file,
      `${rule}, got ${entry ? `[${values.slice(0, 8).join(", ")}]` : "none"}. Download it again.`,
    );
  };
  const [means, deviations] = [await read("edm_mean"), await read("edm_std")];
  notes.push("the tensors edm_mean and edm_std say that it is Playground v2.5");
  return { latents_mean: means, latents_std: deviations, scaling_factor: 0.5 };
}

/** "1024x1024" or "1024": width and height. */
function resolution(metadata: Metadata): FileStatements["trainedSize"] {
  const [, width, height] = /^(\d{2,4})(?:x(\d{2,4}))?$/.exec(metadata["modelspec.resolution"] ?? "") ?? [];
  if (width === undefined) return undefined;
  const size = { width: Number(width), height: Number(height ?? width) };
  return size.width % 64 === 0 && size.height % 64 === 0 && size.width > 0 && size.height > 0
    ? size
    : undefined;
}
