/** @file The texts of a grid's sheet: labels, the settings that all cells share, and A1111's fields. */

import { type Axes, type Axis, axesFields, axisLabel, type VariedSettings } from "./axes.js";
import type { SheetContent } from "./layout.js";

/** The settings of a grid without those of its axes. */
export type GridBase = VariedSettings & {
  model?: string | undefined;
  width?: number | undefined;
  height?: number | undefined;
  /** The image and mask of image-to-image and inpainting, and the strength. */
  image?: unknown;
  mask?: unknown;
  strength?: number | undefined;
};

export const axisLabels = (axis: Axis): string[] => axis.values.map((_, i) => axisLabel(axis, i));

export function sheetContent(
  base: GridBase,
  axes: Axes,
  { width, height }: { width: number; height: number },
): SheetContent {
  return {
    columns: axisLabels(axes.x),
    rows: axes.y ? axisLabels(axes.y) : [],
    cellWidth: width,
    cellHeight: height,
    title: base.prompt,
    caption: gridCaption(base, axes),
  };
}

/** The settings that all cells share. */
export function gridCaption(base: GridBase, { x, y }: Axes): string {
  const { model, width, height, steps, guidanceScale, scheduler, seed, negativePrompt } = base;
  const parts: (readonly [string, string | undefined])[] = [
    ["model", model],
    ["size", width === undefined || height === undefined ? undefined : `${width} × ${height}`],
    ["steps", steps === undefined ? undefined : `${steps} steps`],
    ["guidanceScale", guidanceScale === undefined ? undefined : `guidance ${guidanceScale}`],
    ["scheduler", scheduler],
    ["seed", seed === undefined ? undefined : `seed ${seed}`],
    ["negative", negativePrompt ? `without ${negativePrompt}` : undefined],
    ["image", beginning(base)],
  ];
  return parts
    .flatMap(([name, text]) => (text === undefined || x.kind === name || y?.kind === name ? [] : [text]))
    .join(", ");
}

function beginning({ image, mask, strength }: GridBase): string | undefined {
  if (!image) return undefined;
  const inside = mask ? " and a mask" : "";
  return `beginning with an image${inside}${strength === undefined ? "" : ` at strength ${strength}`}`;
}

/** The fields of A1111's text, with its X/Y plot. */
export function sheetFields(base: GridBase, axes: Axes): Map<string, string> {
  const fields = Object.entries({
    Steps: base.steps,
    Sampler: base.scheduler,
    "CFG scale": base.guidanceScale,
    Seed: base.seed,
    Model: base.model,
    "Denoising strength": base.image ? base.strength : undefined,
  }).flatMap(([name, value]) => (value === undefined ? [] : [[name, String(value)] as const]));
  return new Map([...fields, ...axesFields(axes)]);
}
