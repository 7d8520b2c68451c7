/**
 * @file What golden folders hold and this build cannot do yet. It is reported row by row and counted, never left out
 * silently. Whoever builds one of these deletes it here; when the file is empty, it goes.
 */

import type { JsonObject } from "../src/weights/json.js";

/** Why a run cannot be painted yet; undefined if it can. */
export function notYet(run: JsonObject): string | undefined {
  return run.lora === undefined ? undefined : "LoRA";
}
