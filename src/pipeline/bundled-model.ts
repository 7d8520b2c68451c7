/** @file The model inside the package, which is used where no other is named. */

import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { InvalidRequest } from "../errors.js";

const folder = fileURLToPath(new URL("../../models/nano", import.meta.url));

/** `model`, or the bundled one; InvalidRequest, about `field`, where there is neither. */
export function modelOrBundled(model: string | undefined, field = "--model"): string {
  if (model !== undefined) return model;
  if (existsSync(folder)) return folder;
  const rule = `must be given, got none, and this copy of the package lacks its own model (${folder}).`;
  throw new InvalidRequest(field, undefined, `${rule} Name a diffusers folder or a Hub id.`);
}
