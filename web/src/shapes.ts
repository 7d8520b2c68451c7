/** @file Preset sizes of about the number of pixels that a model was trained on. */

import type { Model } from "../../src/jobs/model-schemas.js";

export type Shape = { name: string; width: number; height: number };

/** About as many pixels as the model's default size, at 1:1, 3:4 and 4:3. */
export function shapesOf({ defaults, sizeMultiple }: Pick<Model, "defaults" | "sizeMultiple">): Shape[] {
  const side = Math.sqrt(defaults.width * defaults.height);
  // Large models were trained on multiples of 64.
  const multiple = side >= 512 ? Math.max(64, sizeMultiple) : sizeMultiple;
  const fit = (length: number) => Math.max(sizeMultiple, Math.round(length / multiple) * multiple);
  const [long, short] = [fit(side * Math.sqrt(4 / 3)), fit(side * Math.sqrt(3 / 4))];
  return [
    { name: "Square", width: fit(side), height: fit(side) },
    { name: "Portrait", width: short, height: long },
    { name: "Landscape", width: long, height: short },
  ];
}
