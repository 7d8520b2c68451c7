/**
 * @file Which published model a U-Net is of, by its shapes alone: the facts of each family, and the reason as text.
 * Sizes as in Diffusers' `infer_diffusers_model_type` and ComfyUI's `model_detection.py`, counted again from the configs.
 */

import type { TopologyStage, UnetTopology } from "./infer-unet.js";

/** A family, its pipeline, and the facts that show it. */
export type ModelFamily = {
  name: FamilyName;
  pipeline: "StableDiffusionXLPipeline" | "StableDiffusionPipeline";
  reason: string;
};

type FamilyName =
  | "Stable Diffusion 1"
  | "Stable Diffusion 2"
  | "SDXL"
  | "SDXL refiner"
  | "SSD-1B"
  | "Segmind-Vega"
  | "KOALA-1B"
  | "KOALA-700M"
  | "BK-SDXL"
  | "SDXL, pruned"
  | "Stable Diffusion, of other widths";

/** What was made of SDXL: residual blocks per stage, and the depths of the stages on the way down. */
const children: readonly { name: FamilyName; layers: number; depths: string }[] = [
  { name: "SDXL", layers: 2, depths: "0 2 10" },
  { name: "SSD-1B", layers: 2, depths: "0 2 4" },
  { name: "Segmind-Vega", layers: 2, depths: "0 1 2" },
  { name: "KOALA-1B", layers: 1, depths: "0 2 6" },
  { name: "KOALA-700M", layers: 1, depths: "0 2 5" },
  { name: "BK-SDXL", layers: 1, depths: "0 2 10" },
];

/** The family of a U-Net. */
export function unetFamily(t: UnetTopology): ModelFamily {
  const projections = t.linearProjection ? "matrices" : "1x1 convolutions";
  const text = `cross-attention over ${t.textWidth} columns`;
  if (t.addedWidth === undefined) {
    const name =
      t.textWidth === 768 && !t.linearProjection
        ? "Stable Diffusion 1"
        : t.textWidth === 1024 && t.linearProjection
          ? "Stable Diffusion 2"
          : "Stable Diffusion, of other widths";
    const reason = `${text}, no label_emb, transformers projecting with ${projections}`;
    return { name, pipeline: "StableDiffusionPipeline", reason };
  }
  const depths = t.down.map(deepest).join(" ");
  const layers = t.down[0]!.depths.length;
  const middle = t.mid === undefined ? "no middle block" : `middle block ${describe(t.mid)}`;
  const counted = `${layers} residual blocks per stage, transformer depths ${depths}, ${middle}`;
  const reason = `${text}, label_emb of ${t.addedWidth}, ${counted}`;
  const refiner = t.textWidth === 1280 && t.addedWidth === 2560;
  const child = children.find((facts) => facts.layers === layers && facts.depths === depths);
  const name = refiner ? "SDXL refiner" : (child?.name ?? "SDXL, pruned");
  return { name, pipeline: "StableDiffusionXLPipeline", reason };
}

const describe = (mid: number | "resnet") => (mid === "resnet" ? "without attention" : `of depth ${mid}`);

const deepest = ({ depths }: TopologyStage): number => Math.max(0, ...depths.map((depth) => depth ?? 0));
