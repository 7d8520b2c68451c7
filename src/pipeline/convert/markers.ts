/**
 * @file What a single file says of a model besides its weights: ComfyUI's marker tensors and Stability's metadata, so that
 * programs that have no configs read the same model.
 */

import { ModelError } from "../../errors.js";
import type { TensorSource } from "../../weights/safetensors-file.js";
import type { Networks } from "../components.js";

type Markers = { markers: Map<string, TensorSource>; metadata: Record<string, string> };

/** ModelError for a kind of prediction that no marker tells. */
export async function singleMarkers({ folder, family, unet, vae }: Networks): Promise<Markers> {
  const scheduler = await folder.component("scheduler").config();
  const prediction = scheduler.prediction_type ?? "epsilon";
  const edm = numbers(vae.config.latents_mean);
  if (prediction !== "epsilon" && prediction !== "v_prediction") {
    const rule = 'prediction_type: must be "epsilon" or "v_prediction" for a single file';
    throw new ModelError(
      "scheduler/scheduler_config.json",
      `${rule}, got ${JSON.stringify(prediction)}. Write a folder.`,
    );
  }
  const isV = prediction === "v_prediction";
  const markers = new Map<string, TensorSource>();
  const empty: TensorSource = { dtype: "F32", shape: [0], data: new Float32Array(0) };
  if (family === "sdxl" && isV) markers.set("v_pred", empty);
  if (family === "sdxl" && isV && scheduler.rescale_betas_zero_snr === true) markers.set("ztsnr", empty);
  for (const [name, values] of [
    ["edm_mean", edm],
    ["edm_std", numbers(vae.config.latents_std)],
  ] as const)
    if (values)
      markers.set(name, { dtype: "F32", shape: [1, values.length, 1, 1], data: Float32Array.from(values) });
  const v2 = unet.config.linearProjection
    ? `stable-diffusion-v2-${isV ? "768-v" : "512"}`
    : "stable-diffusion-v1";
  const metadata = {
    format: "pt",
    "modelspec.sai_model_spec": "1.0.0",
    "modelspec.architecture": family === "sdxl" ? "stable-diffusion-xl-v1-base" : v2,
    "modelspec.prediction_type": isV ? "v" : "epsilon",
    ...(scheduler.rescale_betas_zero_snr === true && { ss_zero_terminal_snr: "True" }),
  };
  return { markers, metadata };
}

const numbers = (value: unknown): number[] | undefined =>
  Array.isArray(value) && value.every((n) => typeof n === "number") ? value : undefined;
