/**
 * @file What golden folders hold and this build cannot do yet. It is reported row by row and counted, never left out
 * silently. Whoever builds one of these deletes it here; when the file is empty, it goes.
 */

import path from "node:path";
import type { JsonObject } from "../src/weights/json.js";
import { isObject } from "../src/weights/json.js";
import { namesIn } from "./read.js";
import type { Section } from "./row.js";

const imageArguments = ["image", "mask_image", "strength", "denoising_start"];

/** Why a run cannot be painted yet; undefined if it can. */
export function notYet(run: JsonObject): string | undefined {
  const { pipeline, call } = run;
  if (/Img2Img/.test(String(pipeline))) return "image-to-image";
  if (/Inpaint/.test(String(pipeline))) return "inpainting";
  if (run.lora !== undefined) return "LoRA";
  const given = isObject(call) && imageArguments.find((name) => call[name] !== undefined);
  return given ? `the argument ${given}` : undefined;
}

/** Distillation's golden data. */
export const distil: Section = async ({ folder }) => {
  const there = (await namesIn(path.join(folder, "distil"))).length > 0;
  return there ? [{ name: "all", notYet: "distillation" }] : [];
};
