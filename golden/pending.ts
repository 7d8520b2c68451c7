/**
 * @file What golden folders hold and this build cannot do yet. It is reported row by row and counted, never left out
 * silently. Whoever builds one of these deletes it here; when the file is empty, it goes.
 */

import path from "node:path";
import type { JsonObject } from "../src/weights/json.js";
import { namesIn } from "./read.js";
import type { Section } from "./row.js";

/** Why a run cannot be painted yet; undefined if it can. */
export function notYet(run: JsonObject): string | undefined {
  return run.lora === undefined ? undefined : "LoRA";
}

/** Distillation's golden data. */
export const distil: Section = async ({ folder }) => {
  const there = (await namesIn(path.join(folder, "distil"))).length > 0;
  return there ? [{ name: "all", notYet: "distillation" }] : [];
};
